/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_hybrid_x16.S - SHA-256 compression of sixteen streams, eight of them in 256-bit
 * vectors, eight by the SHA extensions, two at a time, both in one stream of instructions.
 *
 * SHA256RNDS2 occupies one execution port and makes the next one of its stream wait for it; vector
 * instructions fill the other ports meanwhile. One round of the eight vector lanes (28 instructions
 * with its share of the message schedule) goes with four rounds of a pair of SHA-NI streams (20),
 * so that 64 vector rounds are as long as one block of each of the four pairs. Schedules run one step
 * ahead of the rounds that need them: of what waits for its operands the CPU looks past little more
 * than one round, and this order is worth 4 %.
 *
 * Assembly, because the one thing that makes this work cannot be said in C: SHA instructions have
 * legacy encodings, which on Intel are a hundred times slower while an upper half of registers 0-15
 * is dirty. So SHA-NI has xmm0-15 for itself, and the vectors live in ymm16-31 alone.
 *
 *     rdi  chaining state of the pair in work   rsp  W[16], the vector lanes' message schedule
 *     rsi  scratch                                   BEFORE[8], their state before the block
 *     rdx  where the pair's pointers are             PAIRS[8] of {ABEF, CDGH}, the SHA-NI lanes'
 *     rax  round constants; rcx: of the vector lanes' next 16 rounds
 *     rbx  offset of the block                  r8-r15  data of the vector lanes
 */
#if defined(__x86_64__)

#include "sha256_constants.h"

#define W 0
#define BEFORE 512
#define PAIRS 768
#define BLOCKS 1024 /* the argument `blocks` */
#define STATE 1032  /* the argument `state` */
#define COUNT 1040  /* blocks still to do */
#define FRAME 1088

#define PREFETCH 192

/* ---- The vector lanes ---- */

#define W0 %ymm24
#define W1 %ymm25
#define W2 %ymm26
#define W3 %ymm27
#define R1 %ymm28
#define R2 %ymm29
#define R3 %ymm30
#define T %ymm31

#define SA %ymm16
#define SB %ymm17
#define SC %ymm18
#define SD %ymm19
#define SE %ymm20
#define SF %ymm21
#define SG %ymm22
#define SH %ymm23

/* Round t of FIPS 180-4, 6.2.2, in two halves: h becomes T1, then the new a. The variables stay where
 * they are and change names. */
#define ROUND_E(a, b, c, d, e, f, g, h, w, t)                                                      \
    vpaddd 4 * (t)(%rcx){1to8}, w, T;                                                              \
    vprord $6, e, R1;                                                                              \
    vprord $11, e, R2;                                                                             \
    vprord $25, e, R3;                                                                             \
    vpaddd T, h, h;                                                                                \
    vmovdqa32 e, T;                                                                                \
    vpternlogd $0xca, g, f, T;                                                                     \
    vpternlogd $0x96, R3, R2, R1;                                                                  \
    vpaddd T, h, h;                                                                                \
    vpaddd R1, h, h

#define ROUND_A(a, b, c, d, e, f, g, h)                                                            \
    vprord $2, a, R1;                                                                              \
    vprord $13, a, R2;                                                                             \
    vprord $22, a, R3;                                                                             \
    vpaddd h, d, d;                                                                                \
    vmovdqa32 a, T;                                                                                \
    vpternlogd $0xe8, c, b, T;                                                                     \
    vpternlogd $0x96, R3, R2, R1;                                                                  \
    vpaddd T, h, h;                                                                                \
    vpaddd R1, h, h

/* Words 4q..4q+3 of all lanes: a 4 x 4 transposition within each 128 bits. */
#define LOAD_ROW(q, low, high, x, y)                                                               \
    vmovdqu32 16 * (q)(low, %rbx), x;                                                              \
    vinserti32x4 $1, 16 * (q)(high, %rbx), y, y

#define LOAD_QUAD(q)                                                                               \
    LOAD_ROW(q, %r8, %r12, %xmm24, W0);                                                            \
    LOAD_ROW(q, %r9, %r13, %xmm25, W1);                                                            \
    LOAD_ROW(q, %r10, %r14, %xmm26, W2);                                                           \
    LOAD_ROW(q, %r11, %r15, %xmm27, W3);                                                           \
    vpunpckldq W1, W0, R1;                                                                         \
    vpunpckhdq W1, W0, R2;                                                                         \
    vpunpckldq W3, W2, R3;                                                                         \
    vpunpckhdq W3, W2, T;                                                                          \
    vpunpcklqdq R3, R1, W0;                                                                        \
    vpunpckhqdq R3, R1, W1;                                                                        \
    vpunpcklqdq T, R2, W2;                                                                         \
    vpunpckhqdq T, R2, W3;                                                                         \
    vpshufb byte_swap(%rip), W0, W0;                                                               \
    vpshufb byte_swap(%rip), W1, W1;                                                               \
    vpshufb byte_swap(%rip), W2, W2;                                                               \
    vpshufb byte_swap(%rip), W3, W3;                                                               \
    vmovdqa32 W0, W + 128 * (q)(%rsp);                                                             \
    vmovdqa32 W1, W + 128 * (q) + 32(%rsp);                                                        \
    vmovdqa32 W2, W + 128 * (q) + 64(%rsp);                                                        \
    vmovdqa32 W3, W + 128 * (q) + 96(%rsp)

/* Word t of the message schedule over word t - 16; `near` holds word t - 2. */
#define WORD(t) W + 32 * ((t) & 15)(%rsp)
#define NEXT_WORD(w, near, t)                                                                      \
    vprord $7, WORD(t + 1), R1;                                                                    \
    vprord $18, WORD(t + 1), R2;                                                                   \
    vpsrld $3, WORD(t + 1), R3;                                                                    \
    vpternlogd $0x96, R3, R2, R1;                                                                  \
    vpaddd WORD(t), R1, R1;                                                                        \
    vpaddd WORD(t + 9), R1, R1;                                                                    \
    vprord $17, near, w;                                                                           \
    vprord $19, near, R2;                                                                          \
    vpsrld $10, near, R3;                                                                          \
    vpternlogd $0x96, R3, R2, w;                                                                   \
    vpaddd R1, w, w;                                                                               \
    vmovdqa32 w, WORD(t)

/* ---- A pair of SHA-NI lanes: the state as ABEF and CDGH, four words a register ---- */

#define AB0 %xmm1
#define CD0 %xmm2
#define AB1 %xmm3
#define CD1 %xmm4
#define P0 %xmm5
#define P1 %xmm6
#define P2 %xmm7
#define P3 %xmm8
#define Q0 %xmm9
#define Q1 %xmm10
#define Q2 %xmm11
#define Q3 %xmm12
#define U %xmm13
#define V %xmm14

#define FOUR_ROUNDS(g, ab, cd, w)                                                                  \
    movdqa w, %xmm0;                                                                               \
    paddd 16 * (g)(%rax), %xmm0;                                                                   \
    sha256rnds2 ab, cd;                                                                            \
    pshufd $0x0e, %xmm0, %xmm0;                                                                    \
    sha256rnds2 cd, ab

#define SCHEDULE(w, w1, w2, w3, scratch)                                                           \
    movdqa w3, scratch;                                                                            \
    palignr $4, w2, scratch;                                                                       \
    sha256msg1 w1, w;                                                                              \
    paddd scratch, w;                                                                              \
    sha256msg2 w3, w

/* Words 4g..4g+3 of both lanes: from the block, or over words 4(g-4)..4(g-4)+3. */
#define FROM_BLOCK(g, p, q)                                                                        \
    mov (%rdx), %rsi;                                                                              \
    movdqu 16 * (g)(%rsi, %rbx), p;                                                                \
    mov 8(%rdx), %rsi;                                                                             \
    movdqu 16 * (g)(%rsi, %rbx), q;                                                                \
    pshufb byte_swap(%rip), p;                                                                     \
    pshufb byte_swap(%rip), q

#define SCHEDULES(p, p1, p2, p3, q, q1, q2, q3)                                                    \
    SCHEDULE(p, p1, p2, p3, U);                                                                    \
    SCHEDULE(q, q1, q2, q3, V)

#define BEGIN_PAIR                                                                                 \
    movdqa (%rdi), AB0;                                                                            \
    movdqa 16(%rdi), CD0;                                                                          \
    movdqa 32(%rdi), AB1;                                                                          \
    movdqa 48(%rdi), CD1;                                                                          \
    FROM_BLOCK(0, P0, Q0)

#define END_PAIR                                                                                   \
    paddd (%rdi), AB0;                                                                             \
    paddd 16(%rdi), CD0;                                                                           \
    paddd 32(%rdi), AB1;                                                                           \
    paddd 48(%rdi), CD1;                                                                           \
    movdqa AB0, (%rdi);                                                                            \
    movdqa CD0, 16(%rdi);                                                                          \
    movdqa AB1, 32(%rdi);                                                                          \
    movdqa CD1, 48(%rdi);                                                                          \
    add $64, %rdi;                                                                                 \
    add $16, %rdx;                                                                                 \
    add $64, %rcx

/* ---- Both: round t of the vector lanes, rounds 4t..4t+3 (modulo 64) of the pair ---- */

#define STEP(t, ahead, names, w, p, q, pair_ahead)                                                 \
    FOUR_ROUNDS(t, AB0, CD0, p);                                                                   \
    ahead;                                                                                         \
    FOUR_ROUNDS(t, AB1, CD1, q);                                                                   \
    ROUND_E_##names(w, t);                                                                         \
    pair_ahead;                                                                                    \
    ROUND_A_##names

#define ROUND_E_0(w, t) ROUND_E(SA, SB, SC, SD, SE, SF, SG, SH, w, t)
#define ROUND_A_0 ROUND_A(SA, SB, SC, SD, SE, SF, SG, SH)
#define ROUND_E_1(w, t) ROUND_E(SH, SA, SB, SC, SD, SE, SF, SG, w, t)
#define ROUND_A_1 ROUND_A(SH, SA, SB, SC, SD, SE, SF, SG)
#define ROUND_E_2(w, t) ROUND_E(SG, SH, SA, SB, SC, SD, SE, SF, w, t)
#define ROUND_A_2 ROUND_A(SG, SH, SA, SB, SC, SD, SE, SF)
#define ROUND_E_3(w, t) ROUND_E(SF, SG, SH, SA, SB, SC, SD, SE, w, t)
#define ROUND_A_3 ROUND_A(SF, SG, SH, SA, SB, SC, SD, SE)
#define ROUND_E_4(w, t) ROUND_E(SE, SF, SG, SH, SA, SB, SC, SD, w, t)
#define ROUND_A_4 ROUND_A(SE, SF, SG, SH, SA, SB, SC, SD)
#define ROUND_E_5(w, t) ROUND_E(SD, SE, SF, SG, SH, SA, SB, SC, w, t)
#define ROUND_A_5 ROUND_A(SD, SE, SF, SG, SH, SA, SB, SC)
#define ROUND_E_6(w, t) ROUND_E(SC, SD, SE, SF, SG, SH, SA, SB, w, t)
#define ROUND_A_6 ROUND_A(SC, SD, SE, SF, SG, SH, SA, SB)
#define ROUND_E_7(w, t) ROUND_E(SB, SC, SD, SE, SF, SG, SH, SA, w, t)
#define ROUND_A_7 ROUND_A(SB, SC, SD, SE, SF, SG, SH, SA)

#define SCHEDULES0 SCHEDULES(P0, P1, P2, P3, Q0, Q1, Q2, Q3)
#define SCHEDULES1 SCHEDULES(P1, P2, P3, P0, Q1, Q2, Q3, Q0)
#define SCHEDULES2 SCHEDULES(P2, P3, P0, P1, Q2, Q3, Q0, Q1)
#define SCHEDULES3 SCHEDULES(P3, P0, P1, P2, Q3, Q0, Q1, Q2)

    .section .rodata
    .balign 64
byte_swap:
    .long 0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f
    .long 0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f
    .balign 64
constants:
    .long SHA256_ROUND_CONSTANTS

/* Transposes four registers of four words. */
#define TRANSPOSE(x0, x1, x2, x3, t0, t1)                                                          \
    movdqa x0, t0;                                                                                 \
    punpckldq x1, x0;                                                                              \
    punpckhdq x1, t0;                                                                              \
    movdqa x2, t1;                                                                                 \
    punpckldq x3, x2;                                                                              \
    punpckhdq x3, t1;                                                                              \
    movdqa x0, x1;                                                                                 \
    punpcklqdq x2, x0;                                                                             \
    punpckhqdq x2, x1;                                                                             \
    movdqa t0, x2;                                                                                 \
    movdqa t0, x3;                                                                                 \
    punpcklqdq t1, x2;                                                                             \
    punpckhqdq t1, x3

/* Between word-major and ABEF (of the words 5, 4, 1, 0) or CDGH (7, 6, 3, 2), four lanes from byte
 * `at` of each word's row: `half` is 0 or 16, `pair` the place of the first of them in PAIRS. */
#define GATHER(at, pair, w0, w1, w2, w3, half)                                                     \
    movdqa 64 * w0 + at(%rdi), %xmm0;                                                              \
    movdqa 64 * w1 + at(%rdi), %xmm1;                                                              \
    movdqa 64 * w2 + at(%rdi), %xmm2;                                                              \
    movdqa 64 * w3 + at(%rdi), %xmm3;                                                              \
    TRANSPOSE(%xmm0, %xmm1, %xmm2, %xmm3, %xmm4, %xmm5);                                           \
    movdqa %xmm0, PAIRS + pair + half(%rsp);                                                       \
    movdqa %xmm1, PAIRS + pair + 32 + half(%rsp);                                                  \
    movdqa %xmm2, PAIRS + pair + 64 + half(%rsp);                                                  \
    movdqa %xmm3, PAIRS + pair + 96 + half(%rsp)

#define SCATTER(at, pair, w0, w1, w2, w3, half)                                                    \
    movdqa PAIRS + pair + half(%rsp), %xmm0;                                                       \
    movdqa PAIRS + pair + 32 + half(%rsp), %xmm1;                                                  \
    movdqa PAIRS + pair + 64 + half(%rsp), %xmm2;                                                  \
    movdqa PAIRS + pair + 96 + half(%rsp), %xmm3;                                                  \
    TRANSPOSE(%xmm0, %xmm1, %xmm2, %xmm3, %xmm4, %xmm5);                                           \
    movdqa %xmm0, 64 * w0 + at(%rdi);                                                              \
    movdqa %xmm1, 64 * w1 + at(%rdi);                                                              \
    movdqa %xmm2, 64 * w2 + at(%rdi);                                                              \
    movdqa %xmm3, 64 * w3 + at(%rdi)

#define ALL_PAIRS(move)                                                                            \
    move(32, 0, 5, 4, 1, 0, 0);                                                                    \
    move(32, 0, 7, 6, 3, 2, 16);                                                                   \
    move(48, 128, 5, 4, 1, 0, 0);                                                                  \
    move(48, 128, 7, 6, 3, 2, 16)

#define PREFETCH_LANE(n)                                                                           \
    mov 8 * (n)(%rdx), %rsi;                                                                       \
    prefetcht0 PREFETCH(%rsi, %rbx)

    .text
    .globl varve_sha256_hybrid_x16
    .hidden varve_sha256_hybrid_x16
    .type varve_sha256_hybrid_x16, @function
    .balign 64
varve_sha256_hybrid_x16:
    .cfi_startproc
    endbr64
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    .cfi_offset rbx, -24
    .cfi_offset r12, -32
    .cfi_offset r13, -40
    .cfi_offset r14, -48
    .cfi_offset r15, -56
    sub $FRAME, %rsp
    and $-64, %rsp
    vzeroupper
    mov %rdi, STATE(%rsp)
    mov %rsi, BLOCKS(%rsp)
    mov %rdx, COUNT(%rsp)
    ALL_PAIRS(GATHER)
    vmovdqa32 (%rdi), SA
    vmovdqa32 64(%rdi), SB
    vmovdqa32 128(%rdi), SC
    vmovdqa32 192(%rdi), SD
    vmovdqa32 256(%rdi), SE
    vmovdqa32 320(%rdi), SF
    vmovdqa32 384(%rdi), SG
    vmovdqa32 448(%rdi), SH
    mov (%rsi), %r8
    mov 8(%rsi), %r9
    mov 16(%rsi), %r10
    mov 24(%rsi), %r11
    mov 32(%rsi), %r12
    mov 40(%rsi), %r13
    mov 48(%rsi), %r14
    mov 56(%rsi), %r15
    lea constants(%rip), %rax
    xor %ebx, %ebx

    .balign 64
.Lblock:
    mov BLOCKS(%rsp), %rdx
    add $64, %rdx
    lea PAIRS(%rsp), %rdi
    mov %rax, %rcx
    prefetcht0 PREFETCH(%r8, %rbx)
    prefetcht0 PREFETCH(%r9, %rbx)
    prefetcht0 PREFETCH(%r10, %rbx)
    prefetcht0 PREFETCH(%r11, %rbx)
    prefetcht0 PREFETCH(%r12, %rbx)
    prefetcht0 PREFETCH(%r13, %rbx)
    prefetcht0 PREFETCH(%r14, %rbx)
    prefetcht0 PREFETCH(%r15, %rbx)
    vmovdqa32 SA, BEFORE(%rsp)
    vmovdqa32 SB, BEFORE + 32(%rsp)
    vmovdqa32 SC, BEFORE + 64(%rsp)
    vmovdqa32 SD, BEFORE + 96(%rsp)
    vmovdqa32 SE, BEFORE + 128(%rsp)
    vmovdqa32 SF, BEFORE + 160(%rsp)
    vmovdqa32 SG, BEFORE + 192(%rsp)
    vmovdqa32 SH, BEFORE + 224(%rsp)

    /* Rounds 0 to 15 beside the first pair. */
    BEGIN_PAIR
    LOAD_QUAD(0)
    STEP(0, , 0, W0, P0, Q0, FROM_BLOCK(1, P1, Q1))
    STEP(1, , 1, W1, P1, Q1, FROM_BLOCK(2, P2, Q2))
    STEP(2, , 2, W2, P2, Q2, FROM_BLOCK(3, P3, Q3))
    STEP(3, , 3, W3, P3, Q3, SCHEDULES0; LOAD_QUAD(1))
    STEP(4, , 4, W0, P0, Q0, SCHEDULES1)
    STEP(5, , 5, W1, P1, Q1, SCHEDULES2)
    STEP(6, , 6, W2, P2, Q2, SCHEDULES3)
    STEP(7, , 7, W3, P3, Q3, SCHEDULES0; LOAD_QUAD(2))
    STEP(8, , 0, W0, P0, Q0, SCHEDULES1)
    STEP(9, , 1, W1, P1, Q1, SCHEDULES2)
    STEP(10, , 2, W2, P2, Q2, SCHEDULES3)
    STEP(11, , 3, W3, P3, Q3, SCHEDULES0; LOAD_QUAD(3))
    STEP(12, , 4, W0, P0, Q0, SCHEDULES1)
    STEP(13, , 5, W1, P1, Q1, SCHEDULES2)
    STEP(14, , 6, W2, P2, Q2, SCHEDULES3)
    STEP(15, NEXT_WORD(W0, W2, 0), 7, W3, P3, Q3, )
    END_PAIR

    /* Rounds 16 to 63, sixteen beside each of the other pairs. The last word made ahead is made for
     * nothing. */
.Lpair:
    BEGIN_PAIR
    PREFETCH_LANE(0)
    PREFETCH_LANE(1)
    STEP(0, NEXT_WORD(W1, W3, 1), 0, W0, P0, Q0, FROM_BLOCK(1, P1, Q1))
    STEP(1, NEXT_WORD(W2, W0, 2), 1, W1, P1, Q1, FROM_BLOCK(2, P2, Q2))
    STEP(2, NEXT_WORD(W3, W1, 3), 2, W2, P2, Q2, FROM_BLOCK(3, P3, Q3))
    STEP(3, NEXT_WORD(W0, W2, 4), 3, W3, P3, Q3, SCHEDULES0)
    STEP(4, NEXT_WORD(W1, W3, 5), 4, W0, P0, Q0, SCHEDULES1)
    STEP(5, NEXT_WORD(W2, W0, 6), 5, W1, P1, Q1, SCHEDULES2)
    STEP(6, NEXT_WORD(W3, W1, 7), 6, W2, P2, Q2, SCHEDULES3)
    STEP(7, NEXT_WORD(W0, W2, 8), 7, W3, P3, Q3, SCHEDULES0)
    STEP(8, NEXT_WORD(W1, W3, 9), 0, W0, P0, Q0, SCHEDULES1)
    STEP(9, NEXT_WORD(W2, W0, 10), 1, W1, P1, Q1, SCHEDULES2)
    STEP(10, NEXT_WORD(W3, W1, 11), 2, W2, P2, Q2, SCHEDULES3)
    STEP(11, NEXT_WORD(W0, W2, 12), 3, W3, P3, Q3, SCHEDULES0)
    STEP(12, NEXT_WORD(W1, W3, 13), 4, W0, P0, Q0, SCHEDULES1)
    STEP(13, NEXT_WORD(W2, W0, 14), 5, W1, P1, Q1, SCHEDULES2)
    STEP(14, NEXT_WORD(W3, W1, 15), 6, W2, P2, Q2, SCHEDULES3)
    STEP(15, NEXT_WORD(W0, W2, 0), 7, W3, P3, Q3, )
    END_PAIR
    lea PAIRS + 256(%rsp), %rsi
    cmp %rsi, %rdi
    jne .Lpair

    vpaddd BEFORE(%rsp), SA, SA
    vpaddd BEFORE + 32(%rsp), SB, SB
    vpaddd BEFORE + 64(%rsp), SC, SC
    vpaddd BEFORE + 96(%rsp), SD, SD
    vpaddd BEFORE + 128(%rsp), SE, SE
    vpaddd BEFORE + 160(%rsp), SF, SF
    vpaddd BEFORE + 192(%rsp), SG, SG
    vpaddd BEFORE + 224(%rsp), SH, SH
    add $64, %rbx
    decq COUNT(%rsp)
    jnz .Lblock

    mov STATE(%rsp), %rdi
    vmovdqa32 SA, (%rdi)
    vmovdqa32 SB, 64(%rdi)
    vmovdqa32 SC, 128(%rdi)
    vmovdqa32 SD, 192(%rdi)
    vmovdqa32 SE, 256(%rdi)
    vmovdqa32 SF, 320(%rdi)
    vmovdqa32 SG, 384(%rdi)
    vmovdqa32 SH, 448(%rdi)
    ALL_PAIRS(SCATTER)
    lea -40(%rbp), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_endproc
    .size varve_sha256_hybrid_x16, . - varve_sha256_hybrid_x16

#endif

    .section .note.GNU-stack, "", @progbits
