//! Which display is used, and who owns standard input. DESIGN §8: none when anything is on stdio, else a window, else the
//! terminal if standard output is one, else none; one owner of standard input.

use lucid86_machine::Config;
use lucid86_machine::config::{Display, SerialTo};

/// What the host offers.
#[derive(Clone, Copy, Debug)]
pub struct HostHas {
    /// A display that windows can be opened on.
    pub windows: bool,
    /// Standard input and output are a terminal.
    pub terminal: bool,
}

/// Whether the monitor shares standard input and output with a serial port.
pub fn monitor_shares(config: &Config) -> bool {
    config.monitor == Some(SerialTo::Stdio) && config.serial.contains(&SerialTo::Stdio)
}

/// The displays to try, best first. More than one only where the user left the choice.
pub fn displays(config: &Config, host: HostHas) -> Result<Vec<Display>, String> {
    match config.display {
        Some(Display::Terminal) if config.stdio_owners() > 0 => Err(format!(
            "display: the terminal display and --{} stdio both want the terminal: send one elsewhere",
            if config.serial.contains(&SerialTo::Stdio) { "serial" } else { "debugcon" }
        )),
        Some(Display::Terminal) if !host.terminal => {
            Err("display: 'terminal' needs a terminal on standard input and output".into())
        }
        Some(chosen) => Ok(vec![chosen]),
        None if config.stdio_owners() > 0 => Ok(vec![Display::None]),
        None => {
            let mut list = Vec::new();
            if host.windows {
                list.push(Display::Window);
            }
            list.push(if host.terminal { Display::Terminal } else { Display::None });
            Ok(list)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[(&str, &str)], windows: bool, terminal: bool) -> Result<Vec<Display>, String> {
        let mut c = Config::default();
        words.iter().for_each(|(w, v)| c.set(w, Some(v)).unwrap());
        displays(&c, HostHas { windows, terminal })
    }

    #[test]
    fn the_rule_of_the_contract() {
        assert_eq!(list(&[("serial", "stdio")], true, true), Ok(vec![Display::None]));
        assert_eq!(list(&[("debugcon", "stdio")], true, true), Ok(vec![Display::None]));
        assert_eq!(list(&[], true, true), Ok(vec![Display::Window, Display::Terminal]));
        assert_eq!(list(&[], false, true), Ok(vec![Display::Terminal]));
        assert_eq!(list(&[], false, false), Ok(vec![Display::None]));
        assert_eq!(
            list(&[("serial", "stdio"), ("display", "window")], true, false),
            Ok(vec![Display::Window])
        );
        assert!(list(&[("serial", "stdio"), ("display", "terminal")], true, true).is_err());
        assert!(list(&[("display", "terminal")], true, false).is_err());
    }
}
