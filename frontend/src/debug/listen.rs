//! A listener that lets in one peer at a time.

use crate::end::Ending;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Listens at HOST:PORT; `serve` is called on a thread for each peer in turn and returns when it has left.
pub fn listen(
    what: &str,
    address: &str,
    ending: &Arc<Ending>,
    mut serve: impl FnMut(TcpStream) -> bool + Send + 'static,
) -> Result<(), String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("{what}: {address}: {e}"))?;
    if let Ok(at) = listener.local_addr() {
        ending.say(&format!("{what} listens at {at}"));
    }
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            if !serve(stream) {
                return;
            }
        }
    });
    Ok(())
}
