/* SPDX-License-Identifier: ISC */
/* Replies of servers, cut anywhere; and the parameters that EHLO announces. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(const struct reply *r)
{
	struct str line, value;
	struct why why;
	size_t offset = 0, lines = 0;

	if (r->code < 200 || r->code > 599)
		panic("code");
	while (reply_line(r, &offset, &line)) {
		(void)esmtp_announced(line, &value);
		lines++;
	}
	if (lines != r->lines)
		panic("lines");
	(void)reply_why(r, &why);
	for (const char *p = why.text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			panic("a control character");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply r;
	struct why why;
	size_t used;
	int rc = 0;

	if (size < 1)
		return 0;
	struct str rest = str_make((const char *)data + 1, size - 1);
	size_t part = 1u + data[0];
	reply_init(&r);
	while (rest.n > 0 && rc != -1) {
		struct str now = str_sub(rest, 0, part);
		rc = reply_feed(&r, now, &used, &why);
		if (used > now.n)
			panic("used more than there was");
		rest = str_from_at(rest, used);
		if (rc == 1) {
			look(&r);
			reply_reset(&r);
		}
	}
	reply_free(&r);
	return 0;
}
