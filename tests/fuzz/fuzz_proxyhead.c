/* SPDX-License-Identifier: ISC */
/* A PROXY protocol header in parts: what is whole stays whole, and of no more octets. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/proxyhead.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_make((const char *)data, size);
	struct proxyhead p;
	struct why why = {0};
	bool whole, early;

	ssize_t n = proxyhead_length(in, &whole, &why);
	if (n == -1) {
		if (why.text[0] == '\0')
			panic("refused without a reason");
		return 0;
	}
	if ((size_t)n > size || n > PROXYHEAD_MAX)
		panic("a header longer than it may be");
	if (!whole)
		return 0;
	for (size_t i = 0; i < (size_t)n; i++)
		if (proxyhead_length(str_sub(in, 0, i), &early, &why) != (ssize_t)i || early)
			panic("whole before its end");
	if (proxyhead_parse(str_sub(in, 0, (size_t)n), &p, &why) == 0 && !p.own &&
	    p.client.ss_family != AF_INET && p.client.ss_family != AF_INET6)
		panic("a client without an address");
	return 0;
}
