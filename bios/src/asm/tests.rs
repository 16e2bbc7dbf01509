//! Encodings are those of the Intel SDM, volume 2.

use super::{Asm, asm, assemble};

fn bytes(program: impl FnMut(&mut Asm)) -> Vec<u8> {
    let segment = assemble(0x400, program);
    segment.bytes[..segment.end].to_vec()
}

#[test]
fn branches_are_as_short_as_they_can_be() {
    let near = bytes(|a| {
        asm! { a;
            at "top";
            jz "end";
            org 0x200;
            at "end";
            jmp "top";
            jmp "end";
        }
    });
    assert_eq!(near[..4], [0x0F, 0x84, 0xFC, 0x01], "JZ rel16");
    assert_eq!(near[0x200..], [0xE9, 0xFD, 0xFD, 0xEB, 0xFB], "JMP rel16, JMP rel8");
}

#[test]
fn names_can_be_used_before_they_are_defined_and_may_be_local() {
    let code = bytes(|a| {
        asm! { a;
            at "first";
            mov si, ".text";
            ret;
            at ".text";
            text "A";
            at "second";
            mov si, ".text";
            mov al, cs_at(bx + a.o("first.text"));
            at ".text";
            dw "first.text";
        }
    });
    assert_eq!(code, [0xBE, 4, 0, 0xC3, b'A', 0, 0xBE, 13, 0, 0x2E, 0x8A, 0x47, 4, 4, 0]);
}

#[test]
fn memory_operands_take_their_size_from_the_other_operand() {
    let code = bytes(|a| {
        asm! { a;
            mov ax, [0x1234];
            mov byte(bp + 4), 7;
            inc word(0x10);
            rep_movsd;
        }
    });
    assert_eq!(code, [0xA1, 0x34, 0x12, 0xC6, 0x46, 0x04, 0x07, 0xFF, 0x06, 0x10, 0x00, 0x66, 0xF3, 0xA5]);
}

#[test]
fn code_for_32_bit_segments_stands_between_16_bit_code() {
    let code = bytes(|a| {
        asm! { a;
            mov eax, 1;
            bits 32;
            mov eax, 1;
            bits 16;
            mov ax, 1;
        }
    });
    assert_eq!(code, [0x66, 0xB8, 1, 0, 0, 0, 0xB8, 1, 0, 0, 0, 0xB8, 1, 0]);
}

#[test]
#[should_panic(expected = "no such name: nowhere")]
fn a_missing_name_is_told() {
    bytes(|a| asm! { a; jmp "nowhere"; });
}

#[test]
#[should_panic(expected = "is defined twice")]
fn a_name_stands_for_one_place() {
    bytes(|a| asm! { a; at "here"; ret; at "here"; ret; });
}

#[test]
#[should_panic(expected = "no room at")]
fn pieces_do_not_overlap() {
    bytes(|a| {
        asm! { a;
            org 0x10;
            ret;
            org 0x0F;
            dw 0;
        }
    });
}
