//! Guests on the network: Linux with its own drivers of our cards against servers on this host, network boot, two machines on
//! one cable, one of them QEMU where it is installed. The network is live, so these run by the host's clock.

mod boot;
mod cases;
mod pairs;
pub mod peer;
pub mod server;
mod session;

pub use cases::{Case, NETWORK, Script, linux};
pub use session::{Options, Run};
