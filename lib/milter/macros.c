/* SPDX-License-Identifier: ISC */
/* A table from names to facts. */
#include "lib/milter/macros.h"

#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#define FACT(name, member)                                    \
	{                                                     \
		(name), offsetof(struct milter_facts, member) \
	}
static const struct row {
	const char *name;
	size_t offset;
} rows[] = {
    FACT("j", myhostname),
    FACT("daemon_name", daemon_name),
    FACT("i", id),
    FACT("client_name", client_name),
    FACT("client_ptr", client_name),
    FACT("client_addr", client_addr),
    FACT("client_port", client_port),
    FACT("auth_type", auth_type),
    FACT("auth_authen", auth_authen),
    FACT("tls_version", tls_version),
    FACT("cipher", cipher),
    FACT("cipher_bits", cipher_bits),
    FACT("mail_addr", mail_addr),
    FACT("mail_host", mail_host),
    FACT("mail_mailer", mail_mailer),
    FACT("rcpt_addr", rcpt_addr),
    FACT("rcpt_host", rcpt_host),
    FACT("rcpt_mailer", rcpt_mailer),
};
#undef FACT

bool
milter_macro(const struct milter_facts *facts, struct str name, struct buf *out)
{
	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		name = str_sub(name, 1, name.n - 2);
	if (str_is(name, "v") && facts->mail_name != NULL)
		return buf_printf(out, "%s %s", facts->mail_name, KP_VERSION) == 0;
	if (str_is(name, "_") && facts->client_name != NULL && facts->client_addr != NULL)
		return buf_printf(out, "%s [%s]", facts->client_name, facts->client_addr) == 0;
	for (size_t i = 0; i < NELEM(rows); i++) {
		const char *const *value =
		    (const char *const *)(const void *)((const char *)facts + rows[i].offset);
		if (str_is(name, rows[i].name))
			return *value != NULL && buf_puts(out, *value) == 0;
	}
	return false;
}
