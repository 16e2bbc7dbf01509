//! A serial port on a TCP socket: it listens at HOST:PORT and serves one peer at a time. What the guest says before the
//! first peer comes waits, up to a limit; after a peer has left, the next one is let in.

use super::{Output, peer};
use crate::end::Ending;
use crossbeam_channel::{Receiver, bounded};
use lucid86_machine::Inputs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

pub(super) fn listen(
    port: usize,
    name: &str,
    address: &str,
    to: Inputs,
    ending: &Arc<Ending>,
) -> Result<Output, String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("serial: tcp:{address}: {e}"))?;
    if let Ok(at) = listener.local_addr() {
        ending.say(&format!("{name} listens at {at}"));
    }
    let (chunks, waiting) = bounded(peer::QUEUE);
    std::thread::spawn(move || {
        let mut left = None;
        for stream in listener.incoming().flatten() {
            left = serve(&stream, port, &to, &waiting, left);
        }
    });
    Ok(Output::Peer { chunks, stalled: false })
}

/// Serves a peer until it leaves; gives back what it did not take.
fn serve(
    stream: &TcpStream,
    port: usize,
    to: &Inputs,
    waiting: &Receiver<Vec<u8>>,
    left: Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let _ = stream.set_nodelay(true);
    let (gone, is_gone) = bounded::<()>(0);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            peer::read_from(stream, port, to);
            drop(gone);
        });
        let mut pending = left;
        loop {
            if let Some(chunk) = pending.take()
                && std::io::Write::write_all(&mut &*stream, &chunk).is_err()
            {
                let _ = stream.shutdown(Shutdown::Both);
                return Some(chunk);
            }
            crossbeam_channel::select! {
                recv(waiting) -> chunk => match chunk {
                    Ok(chunk) => pending = Some(chunk),
                    Err(_) => {
                        let _ = stream.shutdown(Shutdown::Both);
                        return None;
                    }
                },
                recv(is_gone) -> _ => return None,
            }
        }
    })
}
