/* SPDX-License-Identifier: ISC */
/* What milters are told besides the dialogue: macros, by Sendmail's names (Postfix's
 * MILTER_README). */
#ifndef KP_MILTER_MACROS_H
#define KP_MILTER_MACROS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

/* What there is to tell; NULL: nothing now. */
struct milter_facts {
	const char *myhostname, *daemon_name, *mail_name, *id;
	const char *client_name, *client_addr, *client_port;
	const char *auth_type, *auth_authen;
	const char *tls_version, *cipher, *cipher_bits;
	const char *mail_addr, *mail_host, *mail_mailer;
	const char *rcpt_addr, *rcpt_host, *rcpt_mailer;
};

/* The value of macro `name`, which comes with or without braces; false: it has none. */
bool milter_macro(const struct milter_facts *facts, struct str name, struct buf *out) KP_MUST_USE;

#endif
