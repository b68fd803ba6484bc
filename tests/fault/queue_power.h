/* SPDX-License-Identifier: ISC */
/*
 * A fault layer below lib/queue: the linker puts it between the library and the system calls that
 * change the disk. At the chosen call the process ends as by kill -9, with the call not made, made
 * in part, or made; as by a power cut it also takes back what has not been synced: any sectors of
 * any file, any name.
 */
#ifndef KP_TEST_QUEUE_POWER_H
#define KP_TEST_QUEUE_POWER_H

#include <stdbool.h>

enum power_when { POWER_BEFORE, POWER_PARTLY, POWER_AFTER, POWER_MODES };

/* Dies at call number `step` (1, ...; 0: never). `cut`: the power goes, too. `seed` chooses what is
 * lost. */
void power_set(unsigned step, enum power_when when, bool cut, unsigned seed);

/* Calls so far. */
unsigned power_steps(void);

#endif
