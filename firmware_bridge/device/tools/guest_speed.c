/* The firmware without its line: a Fibonacci number by the guest and natively, and how long each took.
 *
 * Says "number guest_ms rounds native_ms rounds ok", once. Under an emulator whose clock counts instructions (qemu -icount
 * shift=0: one is a nanosecond) these are instructions; they are no cycles of silicon. */
#include <stddef.h>

#include "board.h"
#include "log.h"
#include "port.h"
#include "runner.h"

/* As deep as the board's stack for guests allows; fib(12) is 1/322 of the work. */
#if WASM_STACK_BYTES >= 2048u
#define NUMBER 24u
#define FIB 46368u
#define FIB_LEB128 0xA0, 0xEA, 0x02
#define GUEST_ROUNDS 4u
#define NATIVE_ROUNDS 100u
#else
#define NUMBER 12u
#define FIB 144u
#define FIB_LEB128 0x90, 0x81, 0x00
#define GUEST_ROUNDS 1288u
#define NATIVE_ROUNDS 32200u
#endif

/* (func $fib (param i32) (result i32)
 *   (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
 *     (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
 *                    (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
 * (func (export "run") (result i32) (i32.sub (call $fib (i32.const NUMBER)) (i32.const FIB))) */
static const uint8_t GUEST[] = {
    0x00, 0x61, 0x73, 0x6D, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0A, 0x02, 0x60, 0x01, 0x7F, 0x01, 0x7F,
    0x60, 0x00, 0x01, 0x7F, 0x03, 0x03, 0x02, 0x00, 0x01, 0x07, 0x07, 0x01, 0x03, 0x72, 0x75, 0x6E,
    0x00, 0x01, 0x0A, 0x2A, 0x02, 0x1C, 0x00, 0x20, 0x00, 0x41, 0x02, 0x49, 0x04, 0x7F, 0x20, 0x00,
    0x05, 0x20, 0x00, 0x41, 0x01, 0x6B, 0x10, 0x00, 0x20, 0x00, 0x41, 0x02, 0x6B, 0x10, 0x00, 0x6A,
    0x0B, 0x0B, 0x0B, 0x00, 0x41, NUMBER, 0x10, 0x00, 0x41, FIB_LEB128, 0x6B, 0x0B};

/* The compiler is kept from seeing through it: it would compute the answer, or unroll the recursion. */
__attribute__((noinline, noclone, noipa, optimize("no-optimize-sibling-calls"))) static uint32_t fib(uint32_t n) {
  return n < 2u ? n : fib(n - 1u) + fib(n - 2u);
}

static void say(const char *text) {
  while (*text != '\0') {
    port_write((const uint8_t *)text, 1);
    text++;
  }
}

static void say_number(uint32_t number) {
  char text[24];
  text[log_format(text, sizeof text, "%u ", number, 0)] = '\0';
  say(text);
}

int main(void) {
  static const uint8_t RUN[] = {'r', 'u', 'n'};
  const span run = {.at = RUN, .size = sizeof RUN};
  uint32_t guest_ms = 0, since = 0;
  span output = {0};
  port_start();
  verdict result = runner_load(GUEST, sizeof GUEST, 0);
  since = port_millis();
  for (uint32_t round = 0; round < GUEST_ROUNDS && result.code == 0u; round++) {
    result = runner_call(run, NULL, 0, &output);
  }
  guest_ms = port_millis() - since;
  if (result.code != 0u) {
    say(result.why);
    say("\n");
    port_reset();
  }
  volatile uint32_t number = NUMBER, sum = 0;
  since = port_millis();
  for (uint32_t round = 0; round < NATIVE_ROUNDS; round++) {
    sum += fib(number);
  }
  uint32_t native_ms = port_millis() - since;
  say_number(NUMBER);
  say_number(guest_ms);
  say_number(GUEST_ROUNDS);
  say_number(native_ms);
  say_number(NATIVE_ROUNDS);
  say(sum == FIB * NATIVE_ROUNDS ? "ok\n" : "wrong\n");
  for (;;) {
    port_idle(1000);
  }
}
