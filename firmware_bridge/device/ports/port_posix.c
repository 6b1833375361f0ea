/* The board is a process: the line is standard input and output, or a pty whose path goes to standard error.
 *
 *   edgehost-device FLASH_FILE [pty]
 *
 * EDGEHOST_CRASH_AT=N ends the process in the Nth piece of work of the engine, as a crash of it would.
 * EDGEHOST_CUT_AFTER=N ends the process, as if the power went, when N more bytes of flash have been programmed or
 * erased; what was done until then stays, to the byte. The flash behaves like NOR: programming a byte that is not
 * erased, in a way that would set a bit, is a defect of the firmware and ends the process with an error. */
#define _DEFAULT_SOURCE
#define _XOPEN_SOURCE 700
#include "port.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "provision.h"

#define EXIT_CUT 99
#define EXIT_CRASHED 97
#define EXIT_FLASH_MISUSED 98
#define STACK_KEPT (64u * 1024u)

static uint8_t *flash;
static int line_in = STDIN_FILENO, line_out = STDOUT_FILENO;
static uintptr_t stack_top;
static long cut_after = -1, crash_at = -1;
static struct timespec started;
static char **own_arguments;

static void fail(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void open_flash(const char *path) {
  int file = open(path, O_RDWR | O_CREAT, 0600);
  struct stat about;
  if (file < 0 || fstat(file, &about) != 0) {
    fail(path);
  }
  bool fresh = about.st_size < (off_t)FLASH_BYTES;
  if (fresh && ftruncate(file, (off_t)FLASH_BYTES) != 0) {
    fail(path);
  }
  flash = mmap(NULL, FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (flash == MAP_FAILED) {
    fail(path);
  }
  (void)close(file);
  if (fresh) {
    (void)memset(flash, 0xFF, FLASH_BYTES);
  }
}

static void open_pty(void) {
  struct termios raw;
  int pty = posix_openpt(O_RDWR | O_NOCTTY);
  if (pty < 0 || grantpt(pty) != 0 || unlockpt(pty) != 0) {
    fail("pty");
  }
  /* Held open, so that the line survives a host that comes and goes. */
  int other_end = open(ptsname(pty), O_RDWR | O_NOCTTY);
  if (other_end < 0 || tcgetattr(other_end, &raw) != 0) {
    fail("pty");
  }
  cfmakeraw(&raw);
  if (tcsetattr(other_end, TCSANOW, &raw) != 0) {
    fail("pty");
  }
  (void)fprintf(stderr, "%s\n", ptsname(pty));
  line_in = pty;
  line_out = pty;
}

/* Runs before main, where the arguments are still at hand. */
__attribute__((constructor)) static void remember_arguments(int count, char **arguments) {
  (void)count;
  own_arguments = arguments;
}

void port_start(void) {
  stack_top = (uintptr_t)__builtin_frame_address(0);
  (void)clock_gettime(CLOCK_MONOTONIC, &started);
  (void)signal(SIGPIPE, SIG_DFL);
  const char *cut = getenv("EDGEHOST_CUT_AFTER");
  if (cut != NULL) {
    cut_after = strtol(cut, NULL, 10);
  }
  const char *crash = getenv("EDGEHOST_CRASH_AT");
  if (crash != NULL) {
    crash_at = strtol(crash, NULL, 10);
  }
  if (own_arguments[1] == NULL) {
    (void)fputs("usage: edgehost-device FLASH_FILE [pty]\n", stderr);
    exit(EXIT_FAILURE);
  }
  open_flash(own_arguments[1]);
  if (own_arguments[2] != NULL && strcmp(own_arguments[2], "pty") == 0) {
    open_pty();
  }
}

uint32_t port_millis(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)(((now.tv_sec - started.tv_sec) * 1000) + ((now.tv_nsec - started.tv_nsec) / 1000000));
}

static bool wait_readable(int most_ms) {
  struct pollfd line = {.fd = line_in, .events = POLLIN};
  return poll(&line, 1, most_ms) > 0;
}

uint32_t port_read(uint8_t *bytes, uint32_t room) {
  if (!wait_readable(0)) {
    return 0;
  }
  ssize_t size = read(line_in, bytes, room);
  if (size == 0) {
    exit(EXIT_SUCCESS); /* the other end is closed */
  }
  return size < 0 ? 0u : (uint32_t)size;
}

void port_write(const uint8_t *bytes, uint32_t size) {
  while (size > 0u) {
    ssize_t written = write(line_out, bytes, size);
    if (written <= 0) {
      exit(EXIT_SUCCESS);
    }
    bytes += written;
    size -= (uint32_t)written;
  }
}

/* A pipe or pty has no rate. */
bool port_set_baud(uint32_t baud) { return baud >= 1200u && baud <= 4000000u; }

void port_idle(uint32_t most_ms) { (void)wait_readable((int)most_ms); }

const uint8_t *port_flash(void) { return flash; }

static void change(uint32_t offset, uint8_t to) {
  if (cut_after == 0) {
    _exit(EXIT_CUT);
  }
  cut_after -= cut_after > 0 ? 1 : 0;
  flash[offset] = to;
}

bool port_flash_erase(uint32_t offset) {
  if (offset % FLASH_SECTOR != 0u || offset >= FLASH_BYTES) {
    _exit(EXIT_FLASH_MISUSED);
  }
  for (uint32_t i = 0; i < FLASH_SECTOR; i++) {
    change(offset + i, 0xFF);
  }
  return true;
}

bool port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size) {
  if (offset % 4u != 0u || size % 4u != 0u || offset + size > FLASH_BYTES) {
    _exit(EXIT_FLASH_MISUSED);
  }
  for (uint32_t i = 0; i < size; i++) {
    if (flash[offset + i] != 0xFFu) {
      _exit(EXIT_FLASH_MISUSED);
    }
    change(offset + i, bytes[i]);
  }
  return true;
}

void port_reset(void) {
  (void)execv("/proc/self/exe", own_arguments);
  fail("reset");
}

void port_unique_id(uint8_t uid[UID_BYTES]) {
  provision_record own;
  provision_read(&own);
  (void)memcpy(uid, own.uid, UID_BYTES);
}

uintptr_t port_stack_floor(void) { /* asked for whenever the engine begins something */
  crash_at--;
  if (crash_at == 0) {
    _exit(EXIT_CRASHED);
  }
  struct rlimit limit;
  uint64_t size = 1024u * 1024u;
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < size) {
    size = limit.rlim_cur;
  }
  return stack_top - (uintptr_t)(size - STACK_KEPT);
}
