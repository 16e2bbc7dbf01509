//! `--net`: a network card and what its cable leads to (DESIGN §8). Errors are one line without the word's name.

use lucid86_devices::net::ne2000::{MAX_RAM, PORTS, RAM};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Interrupt requests that an ISA card's jumpers reach.
const IRQS: [u8; 9] = [3, 4, 5, 7, 9, 10, 11, 12, 15];

/// The card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetModel {
    /// NE2000 on ISA, with its jumpers.
    Ne2kIsa {
        /// First port.
        base: u16,
        /// Interrupt request.
        irq: u8,
        /// Bytes of buffer memory.
        ram: usize,
    },
    /// RTL8029 on PCI.
    Ne2kPci,
}

/// A port of the host that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// UDP instead of TCP.
    pub udp: bool,
    /// Where the host listens: on loopback unless an address was given.
    pub host: SocketAddr,
    /// The guest's port.
    pub guest_port: u16,
}

/// The in-process router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserNet {
    /// The gateway's address reaches the host's loopback.
    pub host: bool,
    /// Nothing but the forwards gets in or out.
    pub restrict: bool,
    /// A folder served by TFTP.
    pub tftp: Option<PathBuf>,
    /// The file that DHCP names for booting.
    pub bootfile: Option<String>,
    /// Ports forwarded to the guest.
    pub forwards: Vec<Forward>,
}

/// An address of a stream socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketPlace {
    /// `HOST:PORT`.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// A cable to another emulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketNet {
    /// Waits for a peer.
    Listen(SocketPlace),
    /// Goes to a peer.
    Connect(SocketPlace),
    /// Frames as datagrams.
    Udp {
        /// To here.
        remote: String,
        /// From here.
        local: String,
    },
}

/// What the cable leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetTo {
    /// Nothing.
    None,
    /// The router in this process.
    User(UserNet),
    /// Another emulator.
    Socket(SocketNet),
    /// A tap interface of the host, by name.
    Tap(String),
}

/// One `--net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSpec {
    /// The card.
    pub model: NetModel,
    /// Its address, if one is given.
    pub mac: Option<[u8; 6]>,
    /// Its boot ROM.
    pub rom: Option<PathBuf>,
    /// Its cable's other end.
    pub to: NetTo,
}

/// The parts between commas, still to be understood.
struct Parts<'a> {
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.list.iter().position(|p| p.0 == name)?;
        Some(self.list.remove(at).1)
    }

    fn take_switch(&mut self, name: &str) -> Result<bool, String> {
        match self.take(name) {
            None | Some("off") => Ok(false),
            Some("on") => Ok(true),
            Some(other) => Err(format!("{name}={other}: use {name}=on or {name}=off")),
        }
    }
}

impl NetSpec {
    /// `user,host=on,...`, `socket,listen=..`, `tap,ifname=..`, `none`, each with `model=`, `mac=` and jumpers.
    pub fn parse(v: &str) -> Result<NetSpec, String> {
        let mut words = v.split(',');
        let kind = words.next().unwrap_or("");
        let mut parts =
            Parts { list: words.map(|w| w.split_once('=').unwrap_or((w, ""))).collect::<Vec<_>>() };
        let model = model(&mut parts)?;
        let mac = parts.take("mac").map(parse_mac).transpose()?;
        let rom = parts.take("romfile").map(PathBuf::from);
        if rom.is_some() && model != NetModel::Ne2kPci {
            return Err("romfile= is for model=ne2k_pci".into());
        }
        let to = match kind {
            "none" => NetTo::None,
            "user" => NetTo::User(user(&mut parts)?),
            "socket" => NetTo::Socket(socket(&mut parts)?),
            "tap" => NetTo::Tap(tap(&mut parts)?),
            _ => return Err(format!("'{kind}' is not one of: user, socket, tap, none")),
        };
        match parts.list.first() {
            None => Ok(NetSpec { model, mac, rom, to }),
            Some((name, _)) => Err(format!("unknown part '{name}' of '{kind}': --help lists them")),
        }
    }
}

fn model(parts: &mut Parts) -> Result<NetModel, String> {
    let (base, irq, ram) = (parts.take("base"), parts.take("irq"), parts.take("ram"));
    match parts.take("model") {
        None | Some("ne2k_pci") if base.or(irq).or(ram).is_none() => Ok(NetModel::Ne2kPci),
        None | Some("ne2k_pci") => Err("base=, irq= and ram= are jumpers of model=ne2k_isa".into()),
        Some("ne2k_isa") => {
            Ok(NetModel::Ne2kIsa { base: parse_base(base)?, irq: parse_irq(irq)?, ram: parse_ram(ram)? })
        }
        Some(other) => Err(format!("model={other}: use model=ne2k_pci or model=ne2k_isa")),
    }
}

fn parse_base(v: Option<&str>) -> Result<u16, String> {
    let Some(v) = v else { return Ok(0x300) };
    let hex = v.strip_prefix("0x").or(v.strip_suffix('h')).unwrap_or(v);
    match u16::from_str_radix(hex, 16) {
        Ok(base) if (0x200..=0x3e0).contains(&base) && base % PORTS == 0 => Ok(base),
        _ => Err(format!("base={v}: use a multiple of 0x20 from 0x200 to 0x3e0, such as 0x300")),
    }
}

fn parse_irq(v: Option<&str>) -> Result<u8, String> {
    let Some(v) = v else { return Ok(3) };
    match v.parse() {
        Ok(2) => Ok(9), // the same wire since the AT
        Ok(irq) if IRQS.contains(&irq) => Ok(irq),
        _ => Err(format!("irq={v}: use one of 2, 3, 4, 5, 7, 9, 10, 11, 12, 15")),
    }
}

fn parse_ram(v: Option<&str>) -> Result<usize, String> {
    match v {
        None | Some("16K") => Ok(RAM),
        Some("32K") => Ok(MAX_RAM),
        Some(v) => Err(format!("ram={v}: use 16K or 32K")),
    }
}

fn parse_mac(v: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> = v.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
    match <[u8; 6]>::try_from(bytes) {
        Ok(mac) if mac[0] & 1 == 0 && mac != [0; 6] => Ok(mac),
        Ok(_) => Err(format!("mac={v}: is not the address of one card: its first byte must be even")),
        Err(_) => Err(format!("mac={v}: use six bytes such as 52:54:00:12:34:56")),
    }
}

fn user(parts: &mut Parts) -> Result<UserNet, String> {
    let mut u = UserNet {
        host: parts.take_switch("host")?,
        restrict: parts.take_switch("restrict")?,
        tftp: parts.take("tftp").map(PathBuf::from),
        bootfile: parts.take("bootfile").map(str::to_owned),
        forwards: Vec::new(),
    };
    if u.bootfile.as_ref().is_some_and(|f| f.is_empty() || f.len() > 127) {
        return Err("bootfile: use a name of 1 to 127 bytes".into());
    }
    if u.tftp.as_ref().is_some_and(|d| !d.is_dir()) {
        return Err("tftp: is no folder".into());
    }
    while let Some(f) = parts.take("forward") {
        u.forwards.push(forward(f)?);
    }
    Ok(u)
}

/// `tcp:HOSTPORT:GUESTPORT` or `tcp:ADDRESS:HOSTPORT:GUESTPORT`, or `udp`.
fn forward(v: &str) -> Result<Forward, String> {
    let wrong = || format!("forward={v}: use forward=tcp:HOSTPORT:GUESTPORT, such as tcp:2222:22, or udp");
    let (kind, rest) = v.split_once(':').ok_or_else(wrong)?;
    let (host, guest) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let (address, port) = match host.rsplit_once(':') {
        Some((a, p)) => (a.trim_matches(['[', ']']).parse::<IpAddr>().map_err(|_| wrong())?, p),
        None => (Ipv4Addr::LOCALHOST.into(), host),
    };
    let udp = match kind {
        "tcp" => false,
        "udp" => true,
        _ => return Err(wrong()),
    };
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let guest_port = guest.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?;
    Ok(Forward { udp, host: SocketAddr::new(address, port), guest_port })
}

fn socket(parts: &mut Parts) -> Result<SocketNet, String> {
    let (listen, connect) = (parts.take("listen"), parts.take("connect"));
    let (udp, local) = (parts.take("udp"), parts.take("local"));
    match (listen, connect, udp, local) {
        (Some(a), None, None, None) => Ok(SocketNet::Listen(place(a)?)),
        (None, Some(a), None, None) => Ok(SocketNet::Connect(place(a)?)),
        (None, None, Some(remote), Some(local)) => {
            Ok(SocketNet::Udp { remote: host_port(remote)?, local: host_port(local)? })
        }
        (None, None, Some(_), None) => Err("udp=HOST:PORT also wants local=HOST:PORT".into()),
        _ => Err("use one of listen=HOST:PORT, connect=HOST:PORT, udp=HOST:PORT,local=HOST:PORT \
                  (unix:PATH in place of HOST:PORT for the first two)"
            .into()),
    }
}

fn place(v: &str) -> Result<SocketPlace, String> {
    match v.strip_prefix("unix:") {
        Some("") => Err("unix: names no file".into()),
        Some(path) => Ok(SocketPlace::Unix(path.into())),
        None => Ok(SocketPlace::Tcp(host_port(v)?)),
    }
}

/// `HOST:PORT`; without a host it is this one, by loopback.
fn host_port(v: &str) -> Result<String, String> {
    let wrong = || format!("'{v}' is not HOST:PORT");
    let (host, port) = v.rsplit_once(':').unwrap_or(("", v));
    port.parse::<u16>().map_err(|_| wrong())?;
    Ok(format!("{}:{port}", if host.is_empty() { "127.0.0.1" } else { host }))
}

fn tap(parts: &mut Parts) -> Result<String, String> {
    match parts.take("ifname") {
        Some(name) if !name.is_empty() && name.len() < 16 => Ok(name.into()),
        _ => Err("tap wants ifname=NAME, of an interface that there is".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_of(v: &str) -> UserNet {
        match NetSpec::parse(v).unwrap().to {
            NetTo::User(u) => u,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_listens_beyond_loopback_unless_asked() {
        let u = user_of("user,forward=tcp:2222:22,forward=udp:0.0.0.0:5353:53,restrict=on");
        assert_eq!(u.forwards[0].host, "127.0.0.1:2222".parse().unwrap());
        assert_eq!(u.forwards[1].host, "0.0.0.0:5353".parse().unwrap());
        assert_eq!((u.restrict, u.host, u.forwards[1].guest_port), (true, false, 53));
        let listen = NetSpec::parse("socket,listen=:1234").unwrap().to;
        let place = SocketPlace::Tcp("127.0.0.1:1234".into());
        assert_eq!(listen, NetTo::Socket(SocketNet::Listen(place)));
    }

    #[test]
    fn cards_have_models_addresses_and_jumpers() {
        let n = NetSpec::parse("none,model=ne2k_isa,base=0x280,irq=2,ram=32K,mac=52:54:00:00:00:07").unwrap();
        assert_eq!(n.model, NetModel::Ne2kIsa { base: 0x280, irq: 9, ram: 32 << 10 });
        assert_eq!(n.mac, Some([0x52, 0x54, 0, 0, 0, 7]));
        assert_eq!(NetSpec::parse("user").unwrap().model, NetModel::Ne2kPci);
    }

    #[test]
    fn wrong_words_get_a_line() {
        for (v, part) in [
            ("", "user, socket"),
            ("slirp", "user, socket"),
            ("user,model=e1000", "ne2k_pci"),
            ("user,base=0x300", "jumpers"),
            ("user,host=maybe", "host=on"),
            ("user,forward=tcp:1", "GUESTPORT"),
            ("user,forward=tcp:x:1:2", "GUESTPORT"),
            ("user,tftp=/no/such/folder", "folder"),
            ("user,ifname=x", "ifname"),
            ("socket", "listen"),
            ("socket,listen=1,connect=2", "one of"),
            ("socket,udp=:1", "local"),
            ("tap", "ifname"),
            ("none,model=ne2k_isa,irq=8", "irq"),
            ("none,model=ne2k_isa,base=0x301", "base"),
            ("none,model=ne2k_isa,romfile=x", "ne2k_pci"),
            ("none,mac=01:00:00:00:00:00", "even"),
        ] {
            let e = NetSpec::parse(v).unwrap_err();
            assert!(e.contains(part) && !e.contains('\n'), "{v}: {e}");
        }
    }
}
