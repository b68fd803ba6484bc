/* SPDX-License-Identifier: ISC */
/* What a policy server replies, as it grows. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "smtpd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str action;
	size_t used = 0;

	for (size_t n = 0; n <= size; n++) {
		struct str in = str_make((const char *)data, n);
		int got = policy_reply(in, &action, &used);
		if (got == 0)
			continue;
		if (got == 1 && (used > n || action.n == 0 || action.n > used ||
				    str_chr(action, '\n') >= 0 || str_chr(action, '\0') >= 0))
			panic("an action that is none");
		if (got == 1 && n != used)
			panic("a reply ends where it ends");
		return 0;
	}
	return 0;
}
