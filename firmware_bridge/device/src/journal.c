#include "journal.h"

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "digests.h"
#include "port.h"

enum { HEAD = 1, COMMIT = 2, STARTS = 3, TRIALS = 4, BAD = 5, FLOOR = 6 };

typedef struct {
  uint8_t type, slot, reserved[2];
  uint32_t number; /* HEAD: generation; STARTS, TRIALS: how many */
  uint64_t sequence;
  uint8_t digest[DIGEST_KEPT];
  uint32_t crc;
} record;

_Static_assert(sizeof(record) == 32u, "a record has no padding");

#define RECORDS (FLASH_SECTOR / sizeof(record))

static journal_state state;
static uint32_t sector, generation, next; /* which sector is valid, and its next free record */

static const record *record_at(uint32_t of_sector, uint32_t index) {
  return (const record *)(const void *)(port_flash() + (of_sector * FLASH_SECTOR) + (index * sizeof(record)));
}

static uint32_t crc_of(const record *of) { return crc32((const uint8_t *)of, offsetof(record, crc)); }

static bool blank(const record *of) {
  const uint8_t *bytes = (const uint8_t *)of;
  for (uint32_t i = 0; i < sizeof *of; i++) {
    if (bytes[i] != 0xFFu) {
      return false;
    }
  }
  return true;
}

static bool write_at(uint32_t of_sector, uint32_t index, record *what) {
  what->crc = crc_of(what);
  return port_flash_write((of_sector * FLASH_SECTOR) + (index * (uint32_t)sizeof *what), (const uint8_t *)what,
                          sizeof *what);
}

static void add_bad(const uint8_t *digest) {
  if (!journal_is_bad(digest)) {
    (void)memmove(state.bad[1], state.bad[0], sizeof state.bad - DIGEST_KEPT);
    (void)memcpy(state.bad[0], digest, DIGEST_KEPT);
    if (state.bad_count < MOST_BAD) {
      state.bad_count++;
    }
  }
}

static void raise_floor(const record *what) {
  if (what->sequence >= state.floor) {
    state.floor = what->sequence;
    (void)memcpy(state.floor_digest, what->digest, DIGEST_KEPT);
  }
}

/* The one place where the state changes, at a start and at a write alike. */
static void apply(const record *what) {
  switch (what->type) {
    case COMMIT:
      if (state.active.slot != what->slot && state.active.slot != NO_SLOT) {
        state.previous = state.active;
      }
      if (state.previous.slot == what->slot) {
        state.previous.slot = NO_SLOT;
      }
      state.active.slot = what->slot;
      state.active.sequence = what->sequence;
      (void)memcpy(state.active.digest, what->digest, DIGEST_KEPT);
      state.starts = 0;
      state.trials = 0;
      raise_floor(what);
      break;
    case FLOOR:
      raise_floor(what);
      break;
    case STARTS:
      state.starts = what->number;
      break;
    case TRIALS:
      state.trials = what->number;
      (void)memcpy(state.trial_digest, what->digest, DIGEST_KEPT);
      break;
    case BAD:
      add_bad(what->digest);
      state.trials = 0;
      break;
    default:
      break; /* a record of a later firmware */
  }
}

static record release_record(const journal_release *release) {
  record made = {.type = COMMIT, .slot = release->slot, .sequence = release->sequence};
  (void)memcpy(made.digest, release->digest, DIGEST_KEPT);
  return made;
}

/* Writes the state into the other sector, and its head last. */
static bool turn_over(void) {
  uint32_t other = 1u - sector, at = 1;
  bool good = port_flash_erase(other * FLASH_SECTOR);
  for (uint32_t i = state.bad_count; good && i > 0u; i--) {
    record bad = {.type = BAD};
    (void)memcpy(bad.digest, state.bad[i - 1u], DIGEST_KEPT);
    good = write_at(other, at, &bad);
    at++;
  }
  if (good && state.floor > state.active.sequence) { /* whose it was may be neither active nor previous by now */
    record floor = {.type = FLOOR, .sequence = state.floor};
    (void)memcpy(floor.digest, state.floor_digest, DIGEST_KEPT);
    good = write_at(other, at, &floor);
    at++;
  }
  if (good && state.previous.slot != NO_SLOT) {
    record previous = release_record(&state.previous);
    good = write_at(other, at, &previous);
    at++;
  }
  if (good) {
    record active = release_record(&state.active);
    good = write_at(other, at, &active);
    at++;
  }
  if (good && state.starts != 0u) {
    record starts = {.type = STARTS, .number = state.starts};
    good = write_at(other, at, &starts);
    at++;
  }
  if (good && state.trials != 0u) {
    record trials = {.type = TRIALS, .number = state.trials};
    (void)memcpy(trials.digest, state.trial_digest, DIGEST_KEPT);
    good = write_at(other, at, &trials);
    at++;
  }
  if (good) {
    record head = {.type = HEAD, .number = generation + 1u};
    good = write_at(other, 0, &head);
  }
  if (good) {
    sector = other;
    generation++;
    next = at;
  }
  return good;
}

static bool append(record *what) {
  if (next >= RECORDS && !turn_over()) {
    return false;
  }
  uint32_t at = next;
  next++;
  if (!write_at(sector, at, what)) {
    return false;
  }
  apply(what);
  return true;
}

static bool head_of(uint32_t of_sector, uint32_t *number) {
  const record *head = record_at(of_sector, 0);
  *number = head->number;
  return head->type == (uint8_t)HEAD && head->crc == crc_of(head);
}

void journal_start(void) {
  uint32_t numbers[2] = {0};
  bool valid[2] = {head_of(0, &numbers[0]), head_of(1, &numbers[1])};
  (void)memset(&state, 0, sizeof state);
  state.active.slot = NO_SLOT;
  state.previous.slot = NO_SLOT;
  if (!valid[0] && !valid[1]) { /* a new board */
    sector = 1;
    generation = 0;
    (void)turn_over();
    return;
  }
  sector = (valid[1] && (!valid[0] || numbers[1] > numbers[0])) ? 1u : 0u;
  generation = numbers[sector];
  next = 1;
  while (next < RECORDS && !blank(record_at(sector, next))) {
    const record *found = record_at(sector, next);
    if (found->crc == crc_of(found)) {
      apply(found);
    }
    next++;
  }
}

const journal_state *journal_read(void) { return &state; }

bool journal_commit(uint8_t slot, const uint8_t *digest, uint64_t sequence) {
  record made = {.type = COMMIT, .slot = slot, .sequence = sequence};
  (void)memcpy(made.digest, digest, DIGEST_KEPT);
  return append(&made);
}

bool journal_no_release(void) {
  /* The sequence stays, so that nothing older comes in through this door. */
  return journal_commit(NO_SLOT, state.active.digest, state.active.sequence);
}

bool journal_starts(uint32_t starts) {
  record made = {.type = STARTS, .number = starts};
  return append(&made);
}

bool journal_trials(const uint8_t *digest, uint32_t trials) {
  record made = {.type = TRIALS, .number = trials};
  (void)memcpy(made.digest, digest, DIGEST_KEPT);
  return append(&made);
}

bool journal_bad(const uint8_t *digest) {
  record made = {.type = BAD};
  (void)memcpy(made.digest, digest, DIGEST_KEPT);
  return append(&made);
}

bool journal_is_bad(const uint8_t *digest) {
  for (uint32_t i = 0; i < state.bad_count; i++) {
    if (memcmp(state.bad[i], digest, DIGEST_KEPT) == 0) {
      return true;
    }
  }
  return false;
}
