//! A packet program: it finds an NE2000 at port 300h, asks by ARP who has 10.0.2.2, sends that one a ping, and tells of it all
//! on COM1. Nothing but the card's registers is used: no interrupts, no driver, no BIOS.
//!
//! Follows the DP8390D datasheet: section 11 (initialisation), 9 (remote DMA), 8 (sending), 7 (the receive ring). The frames are
//! those of RFC 826 (ARP), 791 (IPv4) and 792 (ICMP). It is a multiboot kernel, so it starts in flat 32-bit protected mode.

use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, registers::gpr8::*, registers::gpr16::*, registers::gpr32::*,
};
use iced_x86::code_asm::{byte_ptr, ptr, word_ptr};

/// Where the program is loaded, behind its multiboot header.
const BASE: u32 = 0x10_0000;
const HEADER: u32 = 32;
/// Its texts and frames stand behind its code.
const TEXTS: u32 = BASE + 0x1000;
/// Memory that it uses: its stack's top, the card's address, the frame that came.
const STACK: u32 = 0x20_0000;
const MAC: u32 = 0x20_0000;
const FRAME: u32 = 0x20_1000;

/// The card's ports, from its jumpers on.
const CARD: u16 = 0x300;
const CR: u16 = CARD; // command
const PSTART: u16 = CARD + 1; // the ring's first page
const PSTOP: u16 = CARD + 2; // the page behind it
const BNRY: u16 = CARD + 3; // the page up to which we have read
const TPSR: u16 = CARD + 4; // the page of the frame to be sent
const TBCR: u16 = CARD + 5; // its bytes, in two registers
const ISR: u16 = CARD + 7; // what has happened
const RSAR: u16 = CARD + 8; // remote DMA: from where, in two registers
const RBCR: u16 = CARD + 10; // and how many bytes
const RCR: u16 = CARD + 12; // what to receive
const TCR: u16 = CARD + 13; // how to send
const DCR: u16 = CARD + 14; // how wide the data port is
const IMR: u16 = CARD + 15; // what interrupts
const PAR: u16 = CARD + 1; // on page 1: our address
const CURR: u16 = CARD + 7; // on page 1: the page that is filled next
const DATA: u16 = CARD + 16;
const RESET: u16 = CARD + 31;

/// Pages of the card's memory: one frame to be sent, then the ring.
const SEND: u8 = 0x40;
const FIRST: u8 = 0x46;
const LAST: u8 = 0x80;

const COM1: u16 = 0x3f8;
/// Whoever writes "Shutdown" here is switched off, as under Bochs.
const POWER: u16 = 0x8900;

const US: [u8; 4] = [10, 0, 2, 15];
const THEM: [u8; 4] = [10, 0, 2, 2];

/// The Internet checksum (RFC 1071) of whole words.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

/// "Who has 10.0.2.2? Tell 10.0.2.15." The card's address is put in at 6 and 22.
fn arp_request() -> Vec<u8> {
    let mut f = vec![0xff; 6]; // to all
    f.extend([0; 6]);
    f.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]); // ARP: Ethernet, IPv4, lengths, a request
    f.extend([0; 6]);
    f.extend(US);
    f.extend([0; 6]);
    f.extend(THEM);
    f.resize(60, 0);
    f
}

/// An echo request with 32 bytes. The addresses of both cards are put in at 0 and 6.
fn echo_request() -> Vec<u8> {
    let mut icmp = [&[8, 0, 0, 0, 0, 86, 0, 1][..], b"Lucid: you can see through it..."].concat();
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let mut ip = [&[0x45, 0, 0, 20 + icmp.len() as u8, 0, 1, 0, 0, 64, 1, 0, 0][..], &US, &THEM].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&[0; 12][..], &[8, 0], &ip, &icmp].concat()
}

/// The program while it is written: the assembler and the subroutines.
struct Program {
    a: CodeAssembler,
    print: CodeLabel,
    print_byte: CodeLabel,
    print_mac: CodeLabel,
    send: CodeLabel,
    receive: CodeLabel,
    texts: Vec<u8>,
}

type Written = Result<(), IcedError>;

impl Program {
    fn new() -> Result<Program, IcedError> {
        let mut a = CodeAssembler::new(32)?;
        let mut label = || a.create_label();
        let [print, print_byte, print_mac, send, receive] = std::array::from_fn(|_| label());
        Ok(Program { a, print, print_byte, print_mac, send, receive, texts: Vec::new() })
    }

    /// Data behind the program: where it stands.
    fn data(&mut self, bytes: &[u8]) -> u32 {
        let at = TEXTS + self.texts.len() as u32;
        self.texts.extend(bytes);
        at
    }

    fn out(&mut self, port: u16, value: u8) -> Written {
        self.a.mov(dx, u32::from(port))?;
        self.a.mov(al, u32::from(value))?;
        self.a.out(dx, al)
    }

    fn inp(&mut self, port: u16) -> Written {
        self.a.mov(dx, u32::from(port))?;
        self.a.in_(al, dx)
    }

    /// A register of two bytes from CX.
    fn out_cx(&mut self, port: u16) -> Written {
        self.a.mov(dx, u32::from(port))?;
        self.a.mov(al, cl)?;
        self.a.out(dx, al)?;
        self.a.inc(dx)?;
        self.a.mov(al, ch)?;
        self.a.out(dx, al)
    }

    /// Waits until a bit of ISR is set, and clears it.
    fn wait_for(&mut self, bit: u8) -> Written {
        let mut again = self.a.create_label();
        self.a.set_label(&mut again)?;
        self.inp(ISR)?;
        self.a.test(al, u32::from(bit))?;
        self.a.jz(again)?;
        self.out(ISR, bit)
    }

    fn say(&mut self, text: &str) -> Written {
        let text = self.data(&[text.as_bytes(), &[0]].concat());
        self.a.mov(esi, text)?;
        self.a.call(self.print)
    }

    fn main(&mut self) -> Written {
        self.a.mov(esp, STACK)?;
        self.out(COM1 + 3, 3)?; // eight bits to a character
        self.start_card()?;
        self.say("NE2000 at 300h, address ")?;
        self.a.mov(esi, MAC)?;
        self.a.call(self.print_mac)?;
        self.ask()?;
        self.ping()?;
        let word = self.data(b"Shutdown");
        self.a.mov(esi, word)?;
        self.a.mov(ecx, 8)?;
        self.a.mov(dx, u32::from(POWER))?;
        self.a.rep().outsb()?;
        self.a.cli()?;
        self.a.hlt()
    }

    /// Reset, then the steps of the datasheet's section 11, with the card's own address read on the way.
    fn start_card(&mut self) -> Written {
        self.inp(RESET)?;
        self.a.out(dx, al)?;
        self.wait_for(0x80)?; // RST
        self.out(CR, 0x21)?; // page 0, stopped, no DMA
        self.out(DCR, 0x49)?; // words
        self.out(RCR, 0x20)?; // receive nothing yet
        self.out(TCR, 0x02)?; // and send nothing: loop back
        self.out(PSTART, FIRST)?;
        self.out(PSTOP, LAST)?;
        self.out(BNRY, FIRST)?;
        self.out(IMR, 0)?;
        // The PROM lies at 0, each byte twice.
        self.a.mov(ecx, 12)?;
        self.out_cx(RBCR)?;
        self.a.xor(ecx, ecx)?;
        self.out_cx(RSAR)?;
        self.out(CR, 0x0a)?; // start, remote read
        self.a.mov(dx, u32::from(DATA))?;
        for i in 0..6 {
            self.a.in_(ax, dx)?;
            self.a.mov(byte_ptr(MAC + i), al)?;
        }
        self.out(CR, 0x61)?; // page 1
        for i in 0..6u8 {
            self.a.mov(al, byte_ptr(MAC + u32::from(i)))?;
            self.a.mov(dx, u32::from(PAR) + u32::from(i))?;
            self.a.out(dx, al)?;
        }
        self.out(CURR, FIRST + 1)?;
        self.out(CR, 0x22)?; // page 0, start
        self.out(ISR, 0xff)?;
        self.out(TCR, 0)?;
        self.out(RCR, 0x04) // to us and to all
    }

    /// Puts our address, which is at MAC, into a frame.
    fn sign(&mut self, frame: u32, at: u32) -> Written {
        self.a.mov(eax, ptr(MAC))?;
        self.a.mov(ptr(frame + at), eax)?;
        self.a.mov(ax, word_ptr(MAC + 4))?;
        self.a.mov(word_ptr(frame + at + 4), ax)
    }

    /// Receives frames until one has these bytes (offset, value).
    fn await_frame(&mut self, bytes: &[(u32, u32)]) -> Written {
        let mut again = self.a.create_label();
        self.a.set_label(&mut again)?;
        self.a.call(self.receive)?;
        for &(at, value) in bytes {
            self.a.cmp(byte_ptr(FRAME + at), value)?;
            self.a.jne(again)?;
        }
        Ok(())
    }

    fn ask(&mut self) -> Written {
        let bytes = arp_request();
        let frame = self.data(&bytes);
        self.say("who has 10.0.2.2? tell 10.0.2.15\r\n")?;
        self.sign(frame, 6)?;
        self.sign(frame, 22)?;
        self.a.mov(esi, frame)?;
        self.a.mov(ecx, bytes.len() as u32)?;
        self.a.call(self.send)?;
        // ARP, a reply.
        self.await_frame(&[(12, 8), (13, 6), (20, 0), (21, 2)])?;
        self.say("10.0.2.2 is at ")?;
        self.a.mov(esi, FRAME + 22)?;
        self.a.call(self.print_mac)
    }

    /// Sends the ping to whom the ARP reply came from: it is still in memory.
    fn ping(&mut self) -> Written {
        let bytes = echo_request();
        let frame = self.data(&bytes);
        self.say("ping 10.0.2.2: 32 bytes\r\n")?;
        self.sign(frame, 6)?;
        self.a.mov(eax, ptr(FRAME + 22))?;
        self.a.mov(ptr(frame), eax)?;
        self.a.mov(ax, word_ptr(FRAME + 26))?;
        self.a.mov(word_ptr(frame + 4), ax)?;
        self.a.mov(esi, frame)?;
        self.a.mov(ecx, bytes.len() as u32)?;
        self.a.call(self.send)?;
        // IPv4, ICMP, an echo reply.
        self.await_frame(&[(12, 8), (13, 0), (23, 1), (34, 0)])?;
        let end = FRAME + bytes.len() as u32;
        self.a.mov(byte_ptr(end), 0)?;
        self.say("answer: ")?;
        self.a.mov(esi, FRAME + 42)?;
        self.a.call(self.print)?;
        self.say("\r\n")
    }

    /// send: ECX bytes at ESI.
    fn sub_send(&mut self) -> Written {
        self.a.set_label(&mut self.send)?;
        self.out_cx(TBCR)?;
        self.out_cx(RBCR)?;
        self.a.push(ecx)?;
        self.a.mov(ecx, u32::from(SEND) << 8)?;
        self.out_cx(RSAR)?;
        self.out(CR, 0x12)?; // remote write
        self.a.pop(ecx)?;
        self.a.inc(ecx)?;
        self.a.shr(ecx, 1)?;
        self.a.mov(dx, u32::from(DATA))?;
        self.a.rep().outsw()?;
        self.wait_for(0x40)?; // RDC
        self.out(TPSR, SEND)?;
        self.out(CR, 0x26)?; // transmit
        self.wait_for(0x02)?; // PTX
        self.a.ret()
    }

    /// receive: waits for a frame and copies it to FRAME.
    fn sub_receive(&mut self) -> Written {
        self.a.set_label(&mut self.receive)?;
        // The next one lies behind the page up to which we have read, if CURR is elsewhere.
        self.inp(BNRY)?;
        self.a.mov(bl, al)?;
        self.a.inc(bl)?;
        self.a.cmp(bl, u32::from(LAST))?;
        let mut again = self.a.create_label();
        self.a.jb(again)?;
        self.a.mov(bl, u32::from(FIRST))?;
        self.a.set_label(&mut again)?;
        self.out(CR, 0x62)?; // page 1
        self.inp(CURR)?;
        self.a.mov(bh, al)?;
        self.out(CR, 0x22)?;
        self.a.cmp(bh, bl)?;
        self.a.je(again)?;
        // Four bytes in front: status, next page, length with the check sequence.
        self.a.mov(ecx, 4)?;
        self.out_cx(RBCR)?;
        self.a.mov(ch, bl)?;
        self.a.mov(cl, 0)?;
        self.out_cx(RSAR)?;
        self.out(CR, 0x0a)?;
        self.a.mov(dx, u32::from(DATA))?;
        self.a.in_(ax, dx)?;
        self.a.mov(bh, ah)?; // the next one's page
        self.a.in_(ax, dx)?;
        self.a.sub(ax, 4)?;
        self.a.movzx(ecx, ax)?;
        self.out_cx(RBCR)?;
        self.a.push(ecx)?;
        self.a.mov(ch, bl)?;
        self.a.mov(cl, 4)?;
        self.out_cx(RSAR)?;
        self.out(CR, 0x0a)?;
        self.a.pop(ecx)?;
        self.a.inc(ecx)?;
        self.a.shr(ecx, 1)?;
        self.a.mov(edi, FRAME)?;
        self.a.mov(dx, u32::from(DATA))?;
        self.a.rep().insw()?;
        // We have read up to the page in front of the next one.
        self.a.mov(al, bh)?;
        self.a.dec(al)?;
        self.a.cmp(al, u32::from(FIRST))?;
        let mut above = self.a.create_label();
        self.a.jae(above)?;
        self.a.mov(al, u32::from(LAST) - 1)?;
        self.a.set_label(&mut above)?;
        self.a.mov(dx, u32::from(BNRY))?;
        self.a.out(dx, al)?;
        self.a.ret()
    }

    /// print: the text at ESI, which ends with a zero. print_byte: AL in hexadecimal. print_mac: six bytes at ESI, a line.
    fn sub_print(&mut self) -> Written {
        let mut end = self.a.create_label();
        let (mut digit, mut put) = (self.a.create_label(), self.a.create_label());
        self.a.set_label(&mut self.print)?;
        self.a.lodsb()?;
        self.a.test(al, al)?;
        self.a.jz(end)?;
        self.a.call(put)?;
        self.a.jmp(self.print)?;
        self.a.set_label(&mut end)?;
        self.a.ret()?;
        // A character, when the last one is gone.
        self.a.set_label(&mut put)?;
        self.a.mov(ah, al)?;
        let mut full = self.a.create_label();
        self.a.set_label(&mut full)?;
        self.inp(COM1 + 5)?;
        self.a.test(al, 0x20)?;
        self.a.jz(full)?;
        self.a.mov(al, ah)?;
        self.a.mov(dx, u32::from(COM1))?;
        self.a.out(dx, al)?;
        self.a.ret()?;
        self.a.set_label(&mut self.print_byte)?;
        self.a.push(eax)?;
        self.a.shr(al, 4)?;
        self.a.call(digit)?;
        self.a.pop(eax)?;
        self.a.set_label(&mut digit)?;
        self.a.and(al, 15)?;
        self.a.cmp(al, 10)?; // as DAS makes digits: 0-9, then A-F
        self.a.sbb(al, 0x69)?;
        self.a.das()?;
        self.a.jmp(put)?;
        self.a.set_label(&mut self.print_mac)?;
        let mut each = self.a.create_label();
        self.a.mov(ecx, 6)?;
        self.a.set_label(&mut each)?;
        self.a.lodsb()?;
        self.a.call(self.print_byte)?;
        self.a.mov(al, u32::from(b':'))?;
        self.a.cmp(ecx, 1)?;
        let mut last = self.a.create_label();
        self.a.je(last)?;
        self.a.call(put)?;
        self.a.set_label(&mut last)?;
        self.a.dec(ecx)?;
        self.a.jnz(each)?;
        self.a.mov(al, 13)?;
        self.a.call(put)?;
        self.a.mov(al, 10)?;
        self.a.jmp(put)
    }

    /// All of it, as bytes.
    fn finish(mut self) -> Result<Vec<u8>, IcedError> {
        self.main()?;
        self.sub_send()?;
        self.sub_receive()?;
        self.sub_print()?;
        let mut code = self.a.assemble((BASE + HEADER).into())?;
        code.resize((TEXTS - BASE - HEADER) as usize, 0);
        code.extend(self.texts);
        Ok(code)
    }
}

/// The program as a multiboot kernel (Multiboot Specification 0.6.96, 3.1), to start it as `lucid86 FILE`.
pub fn kernel() -> Vec<u8> {
    let code = Program::new().and_then(Program::finish).expect("the program can be assembled");
    let (magic, flags) = (0x1bad_b002_u32, 1 << 16);
    let check = 0u32.wrapping_sub(magic).wrapping_sub(flags);
    let header = [magic, flags, check, BASE, BASE, 0, 0, BASE + HEADER];
    header.iter().flat_map(|w| w.to_le_bytes()).chain(code).collect()
}
