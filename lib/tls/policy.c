/* SPDX-License-Identifier: ISC */
/*
 * Policy onto an SSL_CTX. There is no key exchange by RSA (a private key only signs) and none by
 * finite fields; renegotiation and compression are off whatever the configuration says.
 */
#include "lib/tls/policy.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/log/log.h"

static const struct {
	const char *name;
	unsigned bit; /* 0: known, and never spoken */
	int version;
	uint64_t off;
} versions[] = {
    {"SSLv2",   0,       0,              0                },
    {"SSLv3",   0,       0,              0                },
    {"TLSv1",   TLS_1_0, TLS1_VERSION,   SSL_OP_NO_TLSv1  },
    {"TLSv1.0", TLS_1_0, TLS1_VERSION,   SSL_OP_NO_TLSv1  },
    {"TLSv1.1", TLS_1_1, TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    {"TLSv1.2", TLS_1_2, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    {"TLSv1.3", TLS_1_3, TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

enum { ALL = TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, CIPHERS_MAX = 4096 };

static bool
version_find(struct str name, size_t *row)
{
	for (size_t i = 0; i < NELEM(versions); i++)
		if (str_caseis(name, versions[i].name)) {
			*row = i;
			return true;
		}
	return false;
}

/* The bits of all protocols before, or behind, a row. */
static unsigned
beside(size_t row, bool before)
{
	unsigned bits = 0;

	for (size_t i = 0; i < NELEM(versions); i++)
		if (before ? i < row : i > row)
			bits |= versions[i].bit;
	return bits & ~versions[row].bit;
}

int
tls_policy_protocols(const struct setting_list *list, unsigned *protocols, struct why *why)
{
	unsigned only = 0, without = 0;
	size_t row;

	for (size_t i = 0; i < list->n; i++) {
		struct str word = str_from(list->items[i]);
		bool least = str_starts(word, STR(">=")), most = str_starts(word, STR("<="));
		bool not = str_starts(word, STR("!"));
		struct str name = str_trim(str_from_at(word, least || most ? 2 : not ? 1 : 0));

		if (!version_find(name, &row))
			return why_perm(why, NULL,
			    "%s: expected TLSv1.2 or TLSv1.3, or one behind >=, <= or !",
			    list->items[i]);
		if (least || most)
			without |= beside(row, least);
		else if (not )
			without |= versions[row].bit;
		else
			only |= versions[row].bit;
	}
	*protocols = (only != 0 ? only : ALL) & ~without;
	return *protocols != 0 ? 0 : why_perm(why, NULL, "no protocol is left");
}

static int
set_protocols(SSL_CTX *ctx, const struct tls_policy *policy, struct why *why)
{
	unsigned protocols = 0;

	if (tls_policy_protocols(policy->protocols, &protocols, why) == -1)
		return -1;
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	for (size_t i = 0; i < NELEM(versions); i++)
		if ((versions[i].bit & protocols) == 0)
			SSL_CTX_set_options(ctx, versions[i].off);
	return 0;
}

/* "!NAME" for each cipher, or group of them, that is not wanted. */
static int
exclude(struct buf *ciphers, const struct setting_list *names, struct why *why)
{
	for (size_t i = 0; names != NULL && i < names->n; i++) {
		const char *name = names->items[i];
		if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
				 "_") != strlen(name))
			return why_perm(why, NULL, "%s: expected OpenSSL's name of a cipher", name);
		if (buf_printf(ciphers, ":!%s", name) == -1)
			return why_perm(why, NULL, "too many ciphers are excluded");
	}
	return 0;
}

/* The old protocols sign with SHA-1, which no security level above 0 allows. */
int
tls_policy_ciphers(SSL_CTX *ctx, const struct tls_policy *policy, struct why *why)
{
	static const char *const lists[] = {
	    [TLS_GRADE_HIGH] = "ECDHE+AESGCM:ECDHE+CHACHA20",
	    [TLS_GRADE_MEDIUM] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES",
	};
	enum tls_grade grade = policy->grade;
	unsigned protocols = 0;
	struct buf ciphers;
	int rc = 0;

	if (tls_policy_protocols(policy->protocols, &protocols, why) == -1)
		return -1;
	if ((protocols & (TLS_1_0 | TLS_1_1)) != 0) {
		SSL_CTX_set_security_level(ctx, 0);
		grade = TLS_GRADE_MEDIUM;
	}
	buf_init(&ciphers, CIPHERS_MAX);
	if (buf_puts(&ciphers, lists[grade]) == -1 ||
	    exclude(&ciphers, policy->excluded[0], why) == -1 ||
	    exclude(&ciphers, policy->excluded[1], why) == -1)
		rc = -1;
	else if (SSL_CTX_set_cipher_list(ctx, buf_cstr(&ciphers)) != 1)
		rc = why_perm(why, NULL, "OpenSSL has none of the ciphers %s", buf_cstr(&ciphers));
	buf_free(&ciphers);
	return rc;
}

/* One by one, so that a name that this OpenSSL does not know costs only itself. */
static int
set_groups(SSL_CTX *ctx, const struct setting_list *groups, struct why *why)
{
	struct buf list;
	int rc = 0;

	buf_init(&list, 4096);
	for (size_t i = 0; i < groups->n && rc == 0; i++) {
		if (SSL_CTX_set1_groups_list(ctx, groups->items[i]) != 1)
			log_warning("unknown group of TLS key exchange: %s", groups->items[i]);
		else
			rc = buf_printf(&list, "%s%s", list.n > 0 ? ":" : "", groups->items[i]);
	}
	ERR_clear_error();
	if (rc == -1 || list.n == 0 || SSL_CTX_set1_groups_list(ctx, buf_cstr(&list)) != 1)
		rc = why_perm(why, NULL, "no group of TLS key exchange is left");
	buf_free(&list);
	return rc;
}

int
tls_policy_apply(SSL_CTX *ctx, const struct tls_policy *policy, struct why *why)
{
	if (set_protocols(ctx, policy, why) == -1 || tls_policy_ciphers(ctx, policy, why) == -1 ||
	    set_groups(ctx, policy->groups, why) == -1)
		return -1;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				     SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_SINGLE_ECDH_USE);
	if (policy->server_order)
		SSL_CTX_set_options(
		    ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	return 0;
}
