/* SPDX-License-Identifier: ISC */
/*
 * Handshakes between lib/tls and OpenSSL's own client over a socket pair, with this file in the
 * place of keeper: signatures that come late, wrong or never, sessions that end in the middle, and
 * what a finished one says of itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/msg/fields.h"
#include "lib/tls/facts.h"
#include "lib/tls/key.h"
#include "lib/tls/server.h"
#include "lib/tls/session.h"
#include "tests/unit/lib/tls/pki.h"

static char *protocol_words[] = {">=TLSv1.2"},
	    *group_words[] = {"X25519", "no-such-group", "P-256"};
static const struct setting_list protocols = {protocol_words, 1}, groups = {group_words, 3};

static EVP_PKEY *keys[2], *client_key;
static X509 *certificates[2], *client_certificate;

struct pair {
	struct tls_server *server;
	struct tls_identity *identity;
	SSL_CTX *ctx;
	SSL *client;
	struct tls *tls;
	int fds[2];
	unsigned signatures, schemes; /* asked for: how many; bits of which */
};

static int
setup(void **state)
{
	(void)state;
	tls_open();
	keys[0] = pki_key(EVP_PKEY_RSA);
	keys[1] = pki_key(EVP_PKEY_EC);
	client_key = pki_key(EVP_PKEY_EC);
	for (int i = 0; i < 2; i++)
		certificates[i] = pki_certificate(keys[i], "mail.example", 90);
	client_certificate = pki_certificate(client_key, "a (client);\n", 90);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		EVP_PKEY_free(keys[i]);
		X509_free(certificates[i]);
	}
	EVP_PKEY_free(client_key);
	X509_free(client_certificate);
	tls_close();
	return 0;
}

static void
pair_open(struct pair *p, bool ask)
{
	struct tls_policy policy = {
	    .protocols = &protocols,
	    .groups = &groups,
	    .service = "test",
	    .session_ms = 3600000,
	    .ask_certificate = ask,
	    .depth = 9,
	    .ca = STR_EMPTY,
	    .digest = "sha256",
	    .server_order = true,
	};
	struct why why;

	*p = (struct pair){.server = tls_server_new(&policy, &why)};
	assert_non_null(p->server);
	p->identity = tls_identity_new(p->server);
	for (int i = 0; i < 2; i++) {
		char *pem = pki_certificate_pem(certificates[i]);
		assert_int_equal(tls_identity_add(p->identity, tls_key_number(certificates[i]),
				     str_from(pem), &why),
		    0);
		free(pem);
	}
	p->ctx = SSL_CTX_new(TLS_client_method());
}

static void
client_begin(struct pair *p)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
	p->client = SSL_new(p->ctx);
	SSL_set_fd(p->client, p->fds[1]);
	SSL_set_connect_state(p->client);
	p->tls = tls_accept(p->server, p->fds[0]);
}

static void
client_end(struct pair *p)
{
	tls_free(&p->tls);
	SSL_free(p->client);
	close(p->fds[0]);
	close(p->fds[1]);
}

static void
pair_close(struct pair *p)
{
	SSL_CTX_free(p->ctx);
	tls_identity_drop(&p->identity);
	tls_server_free(&p->server);
}

/* What keeper does. */
static void
sign(struct pair *p)
{
	const struct tls_request *r = tls_request(p->tls);
	int which = r->key == tls_key_number(certificates[0]) ? 0 : 1;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(keys[which], NULL);
	unsigned char out[512];
	size_t n = sizeof out;

	assert_true(r->key == tls_key_number(certificates[which]));
	p->signatures++;
	p->schemes |= 1u << r->scheme;
	EVP_PKEY_sign_init(ctx);
	if (r->scheme != SIGN_ECDSA)
		EVP_PKEY_CTX_set_rsa_padding(
		    ctx, r->scheme == SIGN_RSA_RAW ? RSA_NO_PADDING : RSA_PKCS1_PADDING);
	assert_int_equal(
	    EVP_PKEY_sign(ctx, out, &n, (const unsigned char *)r->input.p, r->input.n), 1);
	EVP_PKEY_CTX_free(ctx);
	tls_sign(p->tls, str_make((char *)out, n));
}

/* Both sides, until the server wants `stop`, is done, or has failed. */
static enum tls_want
play(struct pair *p, enum tls_want stop)
{
	struct why why;

	for (int i = 0; i < 40; i++) {
		(void)SSL_do_handshake(p->client);
		enum tls_want want = tls_handshake(p->tls, &why);
		if (want == TLS_FAILED || want == stop)
			return want;
		if (want == TLS_DONE) {
			(void)SSL_do_handshake(p->client);
			return want;
		}
		if (want == TLS_WANT_IDENTITY)
			tls_use(p->tls, p->identity);
		else if (want == TLS_WANT_SIGNATURE)
			sign(p);
	}
	fail_msg("the handshake does not end");
	return TLS_FAILED;
}

static void
talk(struct pair *p)
{
	char got[32] = "";
	char early[8];

	assert_int_equal(SSL_write(p->client, "ping", 4), 4);
	assert_int_equal(tls_read(p->tls, got, sizeof got), 4);
	assert_memory_equal(got, "ping", 4);
	assert_int_equal(tls_read(p->tls, early, sizeof early), -1);
	assert_int_equal(tls_write(p->tls, "pong", 4), 4);
	assert_int_equal(SSL_read(p->client, got, sizeof got), 4);
	assert_memory_equal(got, "pong", 4);
}

static const struct {
	int version;
	const char *sigalgs;
	unsigned schemes;
	const char *text;
} rows[] = {
    {TLS1_3_VERSION, "RSA-PSS+SHA256", 1 << SIGN_RSA_RAW,
     "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 "
	"server-signature RSA-PSS (2048 bits) server-digest SHA256"    },
    {TLS1_3_VERSION, "ECDSA+SHA256",   1 << SIGN_ECDSA,
     "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 "
	"server-signature ECDSA (prime256v1) server-digest SHA256"     },
    {TLS1_2_VERSION, "RSA+SHA256",     1 << SIGN_RSA_PKCS1,
     "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)"  },
    {TLS1_2_VERSION, "RSA-PSS+SHA256", 1 << SIGN_RSA_RAW,
     "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)"  },
    {TLS1_2_VERSION, "ECDSA+SHA256",   1 << SIGN_ECDSA,
     "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"},
};

static void
test_versions_and_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct pair p;
		struct tls_facts facts;
		char text[300];

		pair_open(&p, false);
		SSL_CTX_set_min_proto_version(p.ctx, rows[i].version);
		SSL_CTX_set_max_proto_version(p.ctx, rows[i].version);
		assert_int_equal(SSL_CTX_set1_sigalgs_list(p.ctx, rows[i].sigalgs), 1);
		client_begin(&p);
		SSL_set_tlsext_host_name(p.client, "MX.example");
		assert_int_equal(play(&p, TLS_WANT_IDENTITY), TLS_WANT_IDENTITY);
		assert_true(str_is(tls_server_name(p.tls), "mx.example"));
		assert_int_equal(play(&p, TLS_DONE), TLS_DONE);
		assert_int_equal(p.signatures, 1);
		assert_int_equal(p.schemes, rows[i].schemes);
		talk(&p);
		tls_facts(p.tls, &facts);
		tls_facts_show(&facts, " ", text, sizeof text);
		assert_string_equal(text, rows[i].text);
		assert_string_equal(tls_facts_trust(&facts), "Anonymous");
		client_end(&p);
		pair_close(&p);
	}
}

static void
test_bindings(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair p;
		struct buf out = {.max = 100};
		unsigned char want[64];

		pair_open(&p, false);
		SSL_CTX_set_max_proto_version(p.ctx, version);
		client_begin(&p);
		assert_int_equal(tls_binding(p.tls, "tls-exporter", &out), -1);
		assert_int_equal(play(&p, TLS_DONE), TLS_DONE);
		assert_int_equal(tls_binding(p.tls, "tls-exporter", &out), 0);
		assert_int_equal(SSL_export_keying_material(p.client, want, 32,
				     "EXPORTER-Channel-Binding", 24, NULL, 0, 0),
		    1);
		assert_int_equal(out.n, 32);
		assert_memory_equal(out.p, want, 32);
		buf_reset(&out);
		if (version == TLS1_2_VERSION) {
			assert_int_equal(tls_binding(p.tls, "tls-unique", &out), 0);
			assert_int_equal(SSL_get_finished(p.client, want, sizeof want), out.n);
			assert_memory_equal(out.p, want, out.n);
		} else {
			assert_int_equal(tls_binding(p.tls, "tls-unique", &out), -1);
		}
		assert_int_equal(tls_binding(p.tls, "tls-server-end-point", &out), -1);
		buf_free(&out);
		client_end(&p);
		pair_close(&p);
	}
}

/* Resumed by another server with the same ticket keys; not by one with others, nor by an older
 * key that is gone. */
static void
test_tickets(void **state)
{
	static const char octets[3][80] = {"one", "two", "three"};
	static const struct {
		const char *order; /* of keys at the second server */
		bool resumed;
	} cases[] = {
	    {"0",   true },
            {"10",  true },
            {"210", true },
            {"21",  false},
            {"",    false}
        };

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct pair a, b;
		struct buf keys_now = {.max = 1000};
		struct tls_facts facts;
		char got[8];

		pair_open(&a, false);
		pair_open(&b, false);
		SSL_CTX_set_max_proto_version(a.ctx, TLS1_2_VERSION);
		SSL_CTX_set_max_proto_version(b.ctx, TLS1_2_VERSION);
		assert_int_equal(tls_server_ticket_keys(a.server, str_make(octets[0], 80)), 0);
		for (const char *k = cases[i].order; *k != '\0'; k++)
			assert_int_equal(buf_add(&keys_now, octets[*k - '0'], 80), 0);
		assert_int_equal(tls_server_ticket_keys(b.server, buf_view(&keys_now)), 0);
		client_begin(&a);
		assert_int_equal(play(&a, TLS_DONE), TLS_DONE);
		talk(&a);
		(void)SSL_read(a.client, got, sizeof got);
		SSL_SESSION *session = SSL_get1_session(a.client);
		client_begin(&b);
		SSL_set_session(b.client, session);
		assert_int_equal(play(&b, TLS_DONE), TLS_DONE);
		talk(&b);
		tls_facts(b.tls, &facts);
		assert_int_equal(facts.resumed, cases[i].resumed);
		assert_int_equal(b.signatures, cases[i].resumed ? 0 : 1);
		SSL_SESSION_free(session);
		client_end(&a);
		client_end(&b);
		pair_close(&a);
		pair_close(&b);
		buf_free(&keys_now);
	}
	struct pair p;
	pair_open(&p, false);
	assert_int_equal(tls_server_ticket_keys(p.server, STR("short")), -1);
	pair_close(&p);
}

static void
test_client_certificate(void **state)
{
	struct pair p;
	struct tls_facts facts;

	(void)state;
	pair_open(&p, true);
	SSL_CTX_use_certificate(p.ctx, client_certificate);
	SSL_CTX_use_PrivateKey(p.ctx, client_key);
	client_begin(&p);
	assert_int_equal(play(&p, TLS_DONE), TLS_DONE);
	tls_facts(p.tls, &facts);
	assert_true(facts.certificate);
	assert_false(facts.trusted);
	assert_string_equal(facts.subject, "a ?client???"); /* fit for a comment in a header */
	assert_int_equal(strlen(facts.fingerprint), 95);
	assert_int_equal(strlen(facts.key_fingerprint), 95);
	assert_string_not_equal(facts.fingerprint, facts.key_fingerprint);
	assert_string_equal(tls_facts_trust(&facts), "Untrusted");
	client_end(&p);
	pair_close(&p);
}

static void
test_no_signature(void **state)
{
	static const char *const signatures[] = {"", "nonsense"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pair p;
		struct why why;

		pair_open(&p, false);
		client_begin(&p);
		assert_int_equal(play(&p, TLS_WANT_SIGNATURE), TLS_WANT_SIGNATURE);
		/* Asked again, it still waits. */
		assert_int_equal(tls_handshake(p.tls, &why), TLS_WANT_SIGNATURE);
		tls_sign(p.tls, str_from(signatures[i]));
		enum tls_want want = tls_handshake(p.tls, &why);
		(void)SSL_do_handshake(p.client);
		if (want != TLS_FAILED) { /* a wrong one is noticed by the client */
			(void)SSL_do_handshake(p.client);
			assert_int_equal(SSL_is_init_finished(p.client), 0);
		} else {
			assert_true(why.text[0] != '\0');
		}
		client_end(&p);
		pair_close(&p);
	}
}

static void
test_no_identity(void **state)
{
	struct pair p;
	struct why why;

	(void)state;
	pair_open(&p, false);
	client_begin(&p);
	assert_int_equal(play(&p, TLS_WANT_IDENTITY), TLS_WANT_IDENTITY);
	assert_int_equal(tls_handshake(p.tls, &why), TLS_WANT_IDENTITY);
	tls_use(p.tls, NULL);
	assert_int_equal(tls_handshake(p.tls, &why), TLS_FAILED);
	assert_int_equal(tls_write(p.tls, "x", 1), -1);
	client_end(&p);
	pair_close(&p);
}

/* The session ends wherever its handshake stands; no stack is lost, however often. */
static void
test_given_up(void **state)
{
	static const enum tls_want stops[] = {TLS_WANT_READ, TLS_WANT_IDENTITY, TLS_WANT_SIGNATURE};
	struct pair p;

	(void)state;
	pair_open(&p, false);
	for (int i = 0; i < 1000; i++) {
		client_begin(&p);
		if (stops[i % 3] != TLS_WANT_READ)
			assert_int_equal(play(&p, stops[i % 3]), stops[i % 3]);
		client_end(&p);
	}
	client_begin(&p);
	assert_int_equal(play(&p, TLS_DONE), TLS_DONE);
	client_end(&p);
	pair_close(&p);
}

/* More handshakes than there are stacks: those beyond wait, and go on. */
static void
test_crowd(void **state)
{
	enum { CROWD = 300 };
	static struct pair p[CROWD];
	struct pair all;
	int waiting = 0, crowded = 0;

	(void)state;
	pair_open(&all, false);
	for (int i = 0; i < CROWD; i++) {
		struct why why;
		enum tls_want want;
		p[i] = all;
		client_begin(&p[i]);
		do {
			(void)SSL_do_handshake(p[i].client);
			want = tls_handshake(p[i].tls, &why);
			if (want == TLS_WANT_IDENTITY)
				tls_use(p[i].tls, all.identity);
		} while (want == TLS_WANT_IDENTITY || want == TLS_WANT_READ);
		waiting += want == TLS_WANT_SIGNATURE;
		crowded += want == TLS_WANT_ROOM;
	}
	assert_int_equal(waiting, 256);
	assert_int_equal(crowded, CROWD - 256);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(play(&p[i], TLS_DONE), TLS_DONE);
		client_end(&p[i]);
	}
	pair_close(&all);
}

/* Names that are none are no names. */
static void
test_names(void **state)
{
	static const char *const names[][2] = {
	    {"a.example",  "a.example" },
            {"A.Example",  "a.example" },
            {"a b",        ""          },
            {"a\nb",       ""          },
	    {".example",   ""          },
            {"_x.example", "_x.example"},
            {"a/b",        ""          }
        };

	(void)state;
	for (size_t i = 0; i < NELEM(names); i++) {
		struct pair p;
		pair_open(&p, false);
		client_begin(&p);
		SSL_set_tlsext_host_name(p.client, names[i][0]);
		assert_int_equal(play(&p, TLS_WANT_IDENTITY), TLS_WANT_IDENTITY);
		assert_true(str_is(tls_server_name(p.tls), names[i][1]));
		client_end(&p);
		pair_close(&p);
	}
}

static void
test_bad_policies(void **state)
{
	static char *none[] = {"no-such-group"};
	static const struct setting_list no_groups = {none, 1};
	struct tls_policy policy = {.protocols = &protocols,
	    .groups = &no_groups,
	    .service = "t",
	    .ca = STR_EMPTY,
	    .digest = "sha256"};
	struct why why;

	(void)state;
	assert_null(tls_server_new(&policy, &why));
	assert_string_equal(why.text, "no group of TLS key exchange is left");
	policy.groups = &groups;
	policy.digest = "sha0";
	assert_null(tls_server_new(&policy, &why));
	assert_string_equal(why.text, "there is no digest sha0");
	policy.digest = "sha256";
	policy.ca = STR("nothing");
	assert_null(tls_server_new(&policy, &why));
	assert_string_equal(why.text, "expected certificates in PEM form");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_versions_and_keys),
	    cmocka_unit_test(test_bindings),
	    cmocka_unit_test(test_tickets),
	    cmocka_unit_test(test_client_certificate),
	    cmocka_unit_test(test_no_signature),
	    cmocka_unit_test(test_no_identity),
	    cmocka_unit_test(test_given_up),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_bad_policies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
