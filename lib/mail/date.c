/* SPDX-License-Identifier: ISC */
/* Dates by localtime_r(), which after the first use reads no file any more; English names whatever
 * the locale. */
#include "lib/mail/date.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
date_init(void)
{
	char out[DATE_SIZE];

	tzset();
	date_header(out, 0);
}

size_t
date_header(char out[static DATE_SIZE], int64_t wall_us)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t when = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (localtime_r(&when, &tm) == NULL)
		gmtime_r(&(time_t){0}, &tm);
	long minutes = labs(tm.tm_gmtoff) / 60;
	int n = snprintf(out, DATE_SIZE, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld (%.10s)",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60,
	    tm.tm_zone);
	return (size_t)n < DATE_SIZE ? (size_t)n : DATE_SIZE - 1;
}
