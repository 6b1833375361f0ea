/* What the device offers: the table of resources (PROTOCOL.md). */
#ifndef RESOURCES_H
#define RESOURCES_H

#include <stdbool.h>

void resources_start(void);

/* Sends what observers are due. */
void resources_tick(void);

/* Whether a reset was asked for and answered. */
bool resources_reset_due(void);

#endif
