/* SPDX-License-Identifier: ISC */
/* Two clocks: one that only goes forward, for timers, and the wall's, for headers and file names.
 */
#ifndef KP_BASE_CLOCK_H
#define KP_BASE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Milliseconds and microseconds of the monotonic clock. */
int64_t clock_ms(void);
int64_t clock_us(void);

/* Microseconds since 1970 by the wall clock. */
int64_t wall_us(void);

/* Milliseconds as a struct timeval, for libevent. */
struct timeval clock_tv(int64_t ms);

#endif
