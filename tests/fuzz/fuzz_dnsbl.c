/* SPDX-License-Identifier: ISC */
/* "zone=filter*weight": parsed text parses again as the same; the rest of the input is an address
 * to look up and a record. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/dnsbl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In every size of room: never beyond it, and never without its end. */
static void
check_name(struct str address, const char *zone)
{
	char room[300];

	for (size_t n = 1; n <= sizeof room; n += 7) {
		memset(room, 'x', sizeof room);
		if (dnsbl_name(room, n, address, zone) && memchr(room, '\0', n) == NULL)
			panic("a name without an end");
		if (n < sizeof room && room[n] != 'x')
			panic("a name beyond its room");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_make((const char *)data, size), line = STR_EMPTY;
	struct dnsbl d, again;
	struct why why = {0};

	(void)str_word(&in, "\n", &line);
	if (dnsbl_parse(&d, line, &why) == -1) {
		if (why.text[0] == '\0')
			panic("refused without a reason");
		return 0;
	}
	if (d.weight < -10000 || d.weight > 10000)
		panic("a weight beyond its bounds");
	if (dnsbl_parse(&again, str_from(d.text), &why) == -1)
		panic("what it kept of the text is not taken again");
	if (strcmp(again.zone, d.zone) != 0 || again.filtered != d.filtered ||
	    memcmp(again.allow, d.allow, sizeof d.allow) != 0)
		panic("... or as another");
	check_name(in, d.zone);
	(void)dnsbl_hit(&d, in);
	(void)dnsbl_hit(&d, str_sub(in, 0, in.n < 4 ? in.n : 4));
	dnsbl_clear(&again);
	dnsbl_clear(&d);
	return 0;
}
