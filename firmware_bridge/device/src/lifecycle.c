#include "lifecycle.h"

#include <string.h>

#include "journal.h"
#include "log.h"
#include "runner.h"
#include "slots.h"

static manifest running;

const manifest *lifecycle_running(void) { return runner_loaded() ? &running : NULL; }

/* Everything that stands between a slot and its component's running, but for the engine. */
static verdict check_slot(uint8_t slot, manifest *found) {
  verdict result = slots_manifest(slot, found);
  return result.code != 0u ? result : slots_require_whole(slot, found);
}

static verdict run_slot(uint8_t slot, const manifest *checked) {
  running = *checked;
  return runner_load(slots_image(slot), running.size, running.memory);
}

static verdict start_release(const journal_release *release) {
  manifest found;
  verdict result = check_slot(release->slot, &found);
  if (result.code == 0u && memcmp(found.sha256, release->digest, DIGEST_KEPT) != 0) {
    result = REFUSED(COAP_CONFLICT, "slot: it holds another release by now");
  }
  return result.code != 0u ? result : run_slot(release->slot, &found);
}

/* The release to go back to is gone once the transfer of another one into its slot has begun. */
static bool can_go_back(void) {
  const journal_release *previous = &journal_read()->previous;
  manifest stored;
  return previous->slot != NO_SLOT && !journal_is_bad(previous->digest) && slots_peek(previous->slot, &stored) &&
         memcmp(stored.sha256, previous->digest, DIGEST_KEPT) == 0;
}

/* What runs next when the active release cannot. */
static void fall_back(const char *why) {
  const journal_state *state = journal_read();
  journal_release previous = state->previous;
  log_word(why);
  (void)journal_bad(state->active.digest);
  if (can_go_back()) {
    log_word("rollback: the last good release takes over");
    (void)journal_commit(previous.slot, previous.digest, previous.sequence);
  } else {
    log_word("rollback: there is no release to go back to");
    (void)journal_no_release();
  }
}

void lifecycle_start(void) {
  const journal_state *state = journal_read();
  if (state->trials >= MOST_STARTS) {
    log_word("trial: a release ended the firmware while it was tried; it is not tried again");
    (void)journal_bad(state->trial_digest);
  }
  while (state->active.slot != NO_SLOT) {
    if (state->starts >= MOST_STARTS || journal_is_bad(state->active.digest)) {
      fall_back("start: the release did not come through its start several times");
      continue;
    }
    /* Written before the engine touches the module: a crash from here on counts. */
    (void)journal_starts(state->starts + 1u);
    verdict result = start_release(&state->active);
    if (result.code == 0u) {
      (void)journal_starts(0);
      return;
    }
    fall_back(result.why);
  }
}

/* The active release runs again after an attempt with another one. */
static void resume_active(void) {
  const journal_state *state = journal_read();
  if (state->active.slot != NO_SLOT && start_release(&state->active).code != 0u) {
    log_word("commit: the release that ran before does not start again");
  }
}

verdict lifecycle_commit(void) {
  uint32_t have = 0, whole = 0;
  uint8_t slot = slots_incoming(&have, &whole);
  manifest offered;
  const journal_state *state = journal_read();
  if (slot == NO_SLOT) {
    return REFUSED(COAP_PRECONDITION, "manifest: put the manifest first");
  }
  if (have != whole) {
    return REFUSED(COAP_INCOMPLETE, "offset: the image is not complete");
  }
  verdict result = check_slot(slot, &offered);
  if (result.code == 0u) {
    result = slots_require_news(&offered);
  }
  if (result.code != 0u) {
    slots_forget(slot);
    return result;
  }
  uint8_t digest[DIGEST_KEPT];
  (void)memcpy(digest, offered.sha256, sizeof digest);
  bool tried = state->trials != 0u && memcmp(state->trial_digest, digest, sizeof digest) == 0;
  if (!journal_trials(digest, tried ? state->trials + 1u : 1u)) {
    return REFUSED(COAP_SERVER_ERROR, "flash: the journal cannot be written");
  }
  result = run_slot(slot, &offered);
  if (result.code != 0u) {
    log_word(result.why);
    (void)journal_bad(digest);
    slots_forget(slot);
    resume_active();
    return result;
  }
  if (!journal_commit(slot, digest, offered.sequence)) {
    resume_active();
    return REFUSED(COAP_SERVER_ERROR, "flash: the journal cannot be written");
  }
  slots_close();
  return ACCEPTED;
}

bool lifecycle_can_roll_back(void) { return can_go_back(); }

verdict lifecycle_roll_back(void) {
  const journal_state *state = journal_read();
  journal_release previous = state->previous;
  if (!can_go_back()) {
    return REFUSED(COAP_CONFLICT, "previous: there is no release to go back to");
  }
  verdict result = start_release(&previous);
  if (result.code != 0u) {
    resume_active();
    return result;
  }
  if (!journal_commit(previous.slot, previous.digest, previous.sequence)) {
    resume_active();
    return REFUSED(COAP_SERVER_ERROR, "flash: the journal cannot be written");
  }
  slots_close();
  return ACCEPTED;
}
