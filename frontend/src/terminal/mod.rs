//! placeholder
use crate::end::Ending;
use crate::picture::Picture;
use crate::session::Running;
use crossbeam_channel::Sender;
use lucid86_machine::Input;

/// Shows.
pub fn show(
    _input: &Sender<Input>,
    _picture: &Picture,
    _running: &Running,
    _ending: &Ending,
) -> Result<(), String> {
    Ok(())
}
