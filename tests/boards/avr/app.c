/* What is flashed in the tests: says its mark on the UART, over and over. Built for each chip with -DMARK='"..."'. */
#include <avr/io.h>
#include <avr/pgmspace.h>

#ifdef UDR1
#define UDR_ UDR1
#define UCSRA_ UCSR1A
#define UCSRB_ UCSR1B
#define UBRR_ UBRR1
#define READY_ UDRE1
#define ON_ (1 << TXEN1)
#endif
#ifdef UDR0
#undef UDR_
#undef UCSRA_
#undef UCSRB_
#undef UBRR_
#undef READY_
#undef ON_
#define UDR_ UDR0
#define UCSRA_ UCSR0A
#define UCSRB_ UCSR0B
#define UBRR_ UBRR0
#define READY_ UDRE0
#define ON_ (1 << TXEN0)
#endif

static const char mark[] PROGMEM = MARK "\n";

int main(void) {
  UBRR_ = F_CPU / 16 / BAUD - 1;
  UCSRB_ = ON_;
  for (;;)
    for (const char *at = mark; pgm_read_byte(at); at++) {
      while (!(UCSRA_ & (1 << READY_))) {
      }
      UDR_ = pgm_read_byte(at);
    }
}
