/* What components tell the host of their own accord: the texts that they give to `notify`, as they are. */
#ifndef EVENTS_H
#define EVENTS_H

#include "lines.h"

/* False when it is longer than what is kept. */
bool events_add(span text);

const line_ring *events_kept(void);

#endif
