//! The built-in router (`--net user`) as the guest sees it, with a world that does what the test says. Expectations are the
//! RFCs' and the documents' ("the guest can't reach the host's loopback unless asked", "every table has a limit").

mod flows;
mod program;
mod reach;
mod servers;
mod world;
