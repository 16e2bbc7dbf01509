//! Opening the networks that the configuration names, and plugging them in.

use super::socket::Socket;
use super::user::Router;
use super::{BackEnd, Dump, Say, cable, run};
use crate::Machine;
use crate::config::{ConfigError, NetTo};

impl Machine {
    /// Opens the networks that the configuration names and plugs the cards in. Until this is called cables hang loose. Call it
    /// before [`Machine::run`]; from then on input is live.
    ///
    /// `say` takes what a network has to tell the user, a line at a time, from any thread.
    pub fn plug_in(&mut self, say: &Say) -> Result<(), ConfigError> {
        let config = self.config().clone();
        if let Some(path) = &config.net_dump {
            let dump = Dump::create(path, config.net.len(), config.rtc_start_seconds())
                .map_err(|e| ConfigError(format!("net-dump: {}: {e}", path.display())))?;
            self.board.outside.dump = Some(dump);
        }
        for (card, spec) in config.net.iter().enumerate() {
            if self.replaying() {
                break; // what the world said is in the recording
            }
            let plug = match open(&spec.to, say).map_err(|e| ConfigError(format!("net: {e}")))? {
                None => None,
                Some(back) => Some(self.start(card, back).map_err(|e| ConfigError(format!("net: {e}")))?),
            };
            self.board.outside.cables.push(plug);
        }
        Ok(())
    }

    /// Plugs a back end into a card.
    fn start(&mut self, card: usize, mut back: Box<dyn BackEnd>) -> std::io::Result<super::Plug> {
        let (plug, cable, poll) = cable(card, self.connect())?;
        back.register(poll.registry())?;
        let thread = std::thread::Builder::new().name(format!("net{card}"));
        thread.spawn(move || run(back, &cable, poll))?;
        Ok(plug)
    }
}

fn open(to: &NetTo, say: &Say) -> Result<Option<Box<dyn BackEnd>>, String> {
    Ok(match to {
        NetTo::None => None,
        NetTo::User(user) => Some(Box::new(Router::open(user, say)?)),
        NetTo::Socket(socket) => Some(Box::new(Socket::open(socket, say)?)),
        NetTo::Tap(name) => Some(tap(name)?),
    })
}

#[cfg(target_os = "linux")]
fn tap(name: &str) -> Result<Box<dyn BackEnd>, String> {
    Ok(Box::new(super::tap::Tap::open(name)?))
}

#[cfg(not(target_os = "linux"))]
fn tap(_name: &str) -> Result<Box<dyn BackEnd>, String> {
    Err("tap: this system has no tap interfaces that are known here: use user or socket".into())
}
