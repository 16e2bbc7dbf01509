//! Network cards. A card takes frames from its cable when it is asked to ([`NetworkCard::receive`]) and gives frames to it
//! through [`crate::Host::packet_out`]; it knows nothing of what the cable leads to. Frames are whole Ethernet frames from the
//! destination address on, without preamble and frame check sequence.

pub mod dp8390;
pub mod ne2000;

/// Longest frame on the cable without its frame check sequence: 1,500 bytes of payload behind a header with one VLAN tag
/// (IEEE 802.3-2018, 3.2.7).
pub const MAX_FRAME: usize = 1518;
/// Shortest frame on the cable without its frame check sequence (IEEE 802.3-2018, 4A.4.2): who sends less pads with zeros.
pub const MIN_FRAME: usize = 60;

/// What any network card offers to the cable's end.
pub trait NetworkCard {
    /// Whether a frame of full length would be taken or refused for good now. While this is false a considerate cable holds
    /// frames back; a frame that comes all the same overflows the card as on a real wire.
    fn ready(&self) -> bool;
    /// Whether the driver has acknowledged what came before, so that a frame that arrives now makes it look again. Drivers take
    /// a limited number of frames and then acknowledge: what came in between would lie in the card unseen, and if that is full
    /// nothing would ever wake the driver again.
    fn acknowledged(&self) -> bool;
    /// Whether the driver has taken all frames out of the card. One that polls may never acknowledge anything.
    fn emptied(&self) -> bool;
    /// A frame arrives.
    fn receive(&mut self, frame: &[u8]);
}
