/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest in 512 bytes of real-mode code, for KVM where nothing larger runs.
 * It fills each page of 0x20000-0x8ffff with a word of its own, prints "ready",
 * and then checks them over and over: "good" or "BAD" a pass, on the first serial port.
 */
.code16

.set FIRST_SEGMENT, 0x2000
.set END_SEGMENT, 0x9000
.set PAGE_WORDS, 2048

.globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %sp
    cld
    sti

    mov $fill_segment, %bp
    call for_each_segment
    mov $ready, %si
    call print
pass:
    mov $good, %si
    mov $check_segment, %bp
    call for_each_segment
    call print
    hlt
    jmp pass

/* Calls bp for each segment, in es; dx is the sequence's state. */
for_each_segment:
    mov $1, %dx
    mov $FIRST_SEGMENT, %bx
1:  mov %bx, %es
    xor %di, %di
    call *%bp
    add $0x1000, %bx
    cmp $END_SEGMENT, %bx
    jne 1b
    ret

/* The next page's word, in ax and dx. */
next_word:
    imul $25173, %dx, %ax
    add $13849, %ax
    mov %ax, %dx
    ret

fill_segment:
    call next_word
    mov $PAGE_WORDS, %cx
    rep stosw
    test %di, %di
    jnz fill_segment
    ret

check_segment:
    call next_word
    mov $PAGE_WORDS, %cx
    repe scasw
    je 1f
    mov $bad, %si
    ret
1:  test %di, %di
    jnz check_segment
    ret

print:
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %dx
    lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp print
2:  ret

ready: .asciz "ready\n"
good:  .asciz "good\n"
bad:   .asciz "BAD\n"

    .org 510
    .word 0xaa55
