/* Which release runs: at the start, at a commit, at a rollback. A power cut at any byte leaves the old or the new. */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include "manifest.h"

#define MOST_STARTS 3u /* a release that did not reach the end of its probe so often is given up */

void lifecycle_start(void);

/* Checks the image that has come, probes it, and lets it take over; the old one comes back when it fails. */
verdict lifecycle_commit(void);

/* Brings the previous release back. */
verdict lifecycle_roll_back(void);

bool lifecycle_can_roll_back(void);

/* The manifest of the release that runs; NULL when none does. */
const manifest *lifecycle_running(void);

#endif
