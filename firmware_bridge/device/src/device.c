/* The firmware: everything is brought up in order, then one loop serves the line. */
#include "journal.h"
#include "lifecycle.h"
#include "link.h"
#include "log.h"
#include "port.h"
#include "resources.h"
#include "server.h"
#include "slots.h"

#include "board.h"

#define IDLE_MS 20u

int main(void) {
  span message = {0};
  port_start();
  link_start();
  log_word("edgehost device firmware " FIRMWARE_VERSION " on " BOARD_NAME);
  journal_start();
  slots_start();
  lifecycle_start();
  resources_start();
  for (;;) {
    while (link_receive(&message)) {
      server_receive(message.at, message.size);
      if (resources_reset_due()) {
        port_reset();
      }
      link_tick();
    }
    link_tick();
    resources_tick();
    port_idle(IDLE_MS);
  }
}
