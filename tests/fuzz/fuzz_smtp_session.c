/* SPDX-License-Identifier: ISC */
/*
 * A whole SMTP session against smtpd with its partners played by tests/unit/smtpd/fake.c. The first
 * octet says how the rest is cut into writes, and from where the client comes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/panic.h"
#include "tests/unit/smtpd/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
drain(int fd)
{
	char room[65536];

	while (read(fd, room, sizeof room) > 0)
		continue;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake f;

	if (size < 1)
		return 0;
	fake_start(&f);
	fake_set(&f, "journal_message_limit", "256");
	fake_set(&f, "message_size_limit", "4096");
	fake_set(&f, "smtpd_forbid_bare_newline", (data[0] & 1) != 0 ? "normalize" : "yes");
	fake_set(&f, "smtpd_forbid_unauth_pipelining", (data[0] & 2) != 0 ? "no" : "yes");
	fake_set(&f, "smtpd_authorized_xclient_hosts", "127.0.0.0/8");
	fake_set(&f, "smtpd_authorized_xforward_hosts", "127.0.0.0/8");
	fake_set(&f, "fast_flush_domains", "local.example, cold.example");
	fake_set(&f, "smtpd_sasl_auth_enable", "yes");
	fake_set(&f, "smtpd_tls_auth_only", "no");
	fake_set(&f, "smtpd_sasl_security_options", "noanonymous");
	int fd = fake_connect(&f, (data[0] & 4) != 0 ? "127.0.0.1" : "192.0.2.1");
	size_t part = (data[0] >> 3) * 16u + 1;
	fake_rounds(&f);
	for (size_t at = 1; at < size;) {
		size_t n = size - at < part ? size - at : part;
		ssize_t done = write(fd, data + at, n);
		if (done <= 0)
			break;
		at += (size_t)done;
		fake_rounds(&f);
		drain(fd);
	}
	close(fd);
	fake_rounds(&f);
	if (f.server->nsessions != 0)
		panic("a session without a client");
	fake_stop(&f);
	return 0;
}
