//! placeholder
use crate::end::Ending;
use crate::picture::Picture;
use crate::session::Running;
use crossbeam_channel::Sender;
use lucid86_machine::Input;

/// Possible.
pub fn possible() -> bool {
    false
}
/// A window.
pub struct Screen {}
impl Screen {
    /// Opens.
    pub fn open() -> Result<Screen, String> {
        Err("not built".into())
    }
    /// Shows.
    pub fn show(
        self,
        _input: &Sender<Input>,
        _picture: &Picture,
        _running: &Running,
        _ending: &Ending,
    ) -> Result<(), String> {
        Ok(())
    }
}
