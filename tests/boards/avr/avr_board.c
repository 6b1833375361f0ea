/* An AVR board on a pseudo-terminal or a TCP port: a chip in simavr with a bootloader that others wrote.
 *
 * usage: avr_board MCU HZ BAUD BOOTLOADER.hex FLASH-FILE pty|tcp [SPEED]
 *
 * Prints the line's path or port, once. The flash lies in FLASH-FILE, mapped into memory, so that whatever ends this
 * process leaves what a power cut leaves. Opening the line resets the chip, as the DTR line of a board does; so does
 * SIGUSR1. Bytes reach the UART no faster than BAUD; SPEED times real time is the most that the chip runs (default 1).
 * The host's end is looked at once per simulated byte: simavr's own pty part dies when the other end closes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "avr_uart.h"
#include "sim_avr.h"
#include "sim_hex.h"
#include "sim_io.h"

#define MCUCR 0x55u /* of all chips that are used here */
#define IVSEL 0x02u
#define VECTORS_END 0xACu

#define QUEUE 4096u /* a power of two */

typedef struct {
  uint8_t bytes[QUEUE];
  uint32_t head, tail;
} queue_t;

static avr_t *avr;
static avr_irq_t *uart_in;
static queue_t to_chip, to_host;
static int line = -1, listener = -1, is_open, is_new;
static volatile sig_atomic_t reset_wanted;
static avr_cycle_count_t byte_cycles, last_turn;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint32_t held(const queue_t *queue) { return queue->head - queue->tail; }

static void on_reset_signal(int number) {
  (void)number;
  reset_wanted = 1;
}

static void chip_said(struct avr_irq_t *irq, uint32_t value, void *unused) {
  (void)irq;
  (void)unused;
  if (is_open && held(&to_host) < QUEUE) to_host.bytes[to_host.head++ % QUEUE] = (uint8_t)value;
}

static avr_cycle_count_t byte_turn(struct avr_t *chip, avr_cycle_count_t when, void *is_tcp);

/* Not from within a timer of the chip: it ends them all. */
static void reset_chip(int is_tcp) {
  reset_wanted = 0;
  if (is_new) is_new = 0, is_open = 1; /* nothing is read from the line before the chip has been reset */
  to_host.tail = to_host.head;
  to_chip.tail = to_chip.head;
  avr_reset(avr);
  avr_cycle_timer_register(avr, byte_cycles, byte_turn, is_tcp ? avr : NULL);
  avr->state = cpu_Running;
  avr_regbit_set(avr, avr->reset_flags.extrf);
}

static void opened(void) {
  is_new = 1;
  reset_wanted = 1;
}

static void look_for_opener(int is_tcp) {
  if (is_tcp) {
    int one = 1, taken = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (taken < 0) return;
    setsockopt(taken, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    line = taken;
    opened();
    return;
  }
  struct pollfd end = {.fd = line, .events = POLLIN};
  if (poll(&end, 1, 0) >= 0 && !(end.revents & POLLHUP)) opened();
}

static void closed(int is_tcp) {
  is_open = 0;
  if (is_tcp) close(line), line = -1;
}

static void move_bytes(int is_tcp) {
  uint8_t chunk[256];
  if (QUEUE - held(&to_chip) >= sizeof chunk) {
    ssize_t count = read(line, chunk, sizeof chunk);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
      closed(is_tcp);
      return;
    }
    for (ssize_t at = 0; at < count; at++) to_chip.bytes[to_chip.head++ % QUEUE] = chunk[at];
  }
  size_t count = 0;
  while (count < sizeof chunk && count < held(&to_host)) {
    chunk[count] = to_host.bytes[(to_host.tail + count) % QUEUE];
    count++;
  }
  ssize_t sent = count ? write(line, chunk, count) : 0;
  if (sent > 0) to_host.tail += (uint32_t)sent;
}

/* Once per byte time of the simulated clock. */
static avr_cycle_count_t byte_turn(struct avr_t *chip, avr_cycle_count_t when, void *is_tcp) {
  last_turn = chip->cycle;
  if (!is_open && !is_new) look_for_opener(is_tcp != NULL);
  if (is_open) move_bytes(is_tcp != NULL);
  if (held(&to_chip)) avr_raise_irq(uart_in, to_chip.bytes[to_chip.tail++ % QUEUE]);
  return when + byte_cycles;
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void no_sleep(avr_t *chip, avr_cycle_count_t cycles) {
  (void)chip;
  (void)cycles;
}

static uint8_t *mapped_flash(const char *path, size_t size) {
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) fail(path);
  off_t had = lseek(file, 0, SEEK_END);
  if (ftruncate(file, (off_t)size) < 0) fail("ftruncate");
  uint8_t *flash = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (flash == MAP_FAILED) fail("mmap");
  if (had < (off_t)size) memset(flash, 0xff, size);
  close(file);
  return flash;
}

static void open_end(int is_tcp) {
  if (!is_tcp) {
    struct termios raw;
    int slave;
    char path[128];
    if (openpty(&line, &slave, path, NULL, NULL) < 0) fail("openpty");
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave);
    fcntl(line, F_SETFL, O_NONBLOCK);
    printf("%s\n", path);
  } else {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1) < 0) fail("listen");
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("socket://127.0.0.1:%u\n", ntohs(at.sin_port));
  }
  fflush(stdout);
}

int main(int count, char **words) {
  if (count < 7) {
    fprintf(stderr, "usage: avr_board MCU HZ BAUD BOOTLOADER.hex FLASH-FILE pty|tcp [SPEED]\n");
    return 2;
  }
  const int is_tcp = strcmp(words[6], "tcp") == 0;
  const double speed = count > 7 ? atof(words[7]) : 1.0;
  const uint32_t hz = (uint32_t)strtoul(words[2], NULL, 10);
  avr = avr_make_mcu_by_name(words[1]);
  if (!avr) return 2;
  avr_init(avr);
  avr->frequency = hz;
  avr->log = LOG_NONE;
  avr->sleep = no_sleep;
  byte_cycles = (avr_cycle_count_t)hz * 10u / strtoul(words[3], NULL, 10);

  const size_t size = (size_t)avr->flashend + 1u;
  avr->flash = mapped_flash(words[5], size + 4u);
  uint32_t boot_bytes = 0, boot_at = 0;
  uint8_t *boot = read_ihex_file(words[4], &boot_bytes, &boot_at);
  if (!boot || boot_at + boot_bytes > size) {
    fprintf(stderr, "%s does not fit into the flash\n", words[4]);
    return 2;
  }
  memcpy(avr->flash + boot_at, boot, boot_bytes);
  avr->reset_pc = boot_at; /* the fuse BOOTRST */
  avr->codeend = avr->flashend;

  const char uart = strcmp(words[1], "atmega32u4") == 0 ? '1' : '0';
  uint32_t flags = 0;
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS(uart), &flags);
  uart_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ(uart), UART_IRQ_INPUT);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ(uart), UART_IRQ_OUTPUT), chip_said, NULL);

  signal(SIGUSR1, on_reset_signal);
  signal(SIGPIPE, SIG_IGN);
  open_end(is_tcp);
  reset_chip(is_tcp);

  const double began = now_s();
  double simulated = 0;
  avr_cycle_count_t last = avr->cycle;
  for (uint32_t turn = 0;; turn++) {
    if (reset_wanted) reset_chip(is_tcp);
    const int state = avr_run(avr);
    /* simavr 1.6 does not know the bit IVSEL: the bootloader's interrupts have their vectors where it begins. */
    if (avr->pc < VECTORS_END && (avr->data[MCUCR] & IVSEL)) avr->pc += avr->reset_pc;
    if (state == cpu_Done || state == cpu_Crashed) reset_chip(is_tcp);
    if (turn % 1024u) continue;
    if (avr->cycle - last_turn > 16u * byte_cycles + 4096u) { /* the chip's watchdog has reset it, and its timers */
      last_turn = avr->cycle;
      avr_cycle_timer_register(avr, byte_cycles, byte_turn, is_tcp ? avr : NULL);
    }
    simulated += (double)(avr->cycle - last) / hz / speed;
    last = avr->cycle;
    const double ahead = simulated - (now_s() - began);
    if (ahead < -0.05) simulated -= ahead; /* a busy machine: do not hurry after it */
    if (ahead > 0.001) usleep((useconds_t)(ahead * 1e6));
  }
}
