/* SPDX-License-Identifier: ISC */
/*
 * The mechanisms of libgsasl, and EXTERNAL. The library parses and computes; who exists and which
 * password fits is decided here and by the backend. An account that is not there goes the whole way
 * with keys that no password fits.
 */
#include <stdlib.h>
#include <string.h>

#include "keeper/auth.h"
#include "keeper/passwords.h"
#include "keeper/sasl.h"
#include "lib/base/base64.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/users/secret.h"

enum { KEYS_MAX = 512 };

/* What SCRAM knows of the account. */
struct scram {
	bool known;
	struct buf text; /* that the keys are views into */
	struct scram_keys keys;
};

/* --- libgsasl asks --- */

static bool
is_sha1(const struct exchange *x)
{
	return strncmp(x->name, "SCRAM-SHA-1", 11) == 0;
}

/* The keys of the account that the client claims; false: could not tell. */
static bool
scram_find(struct exchange *x)
{
	const char *name = gsasl_property_fast(x->sasl, GSASL_AUTHID);
	struct secret secret = {0};
	struct why why;

	if (x->scram != NULL)
		return true;
	x->scram = xcalloc(1, sizeof *x->scram);
	buf_init(&x->scram->text, SECRET_MAX);
	exchange_claim(x, str_from(name));
	int found = passwords_record(x->auth, str_from(name), &x->scram->text, &why);
	if (found == -1) {
		log_warning("%s", why.text);
		return false;
	}
	enum scram_hash hash = is_sha1(x) ? SCRAM_SHA1 : SCRAM_SHA256;
	if (found == 1 && secret_parse(buf_view(&x->scram->text), &secret, &why) == 0)
		x->scram->keys = secret.scram[hash];
	x->scram->known = x->scram->keys.iterations != 0;
	if (!x->scram->known)
		secret_pretend(str_from(name), passwords_seed(x->auth), hash, &x->scram->keys,
		    &x->scram->text);
	return true;
}

static void
set(struct exchange *x, Gsasl_property property, struct str value)
{
	gsasl_property_set_raw(x->sasl, property, value.p, value.n);
}

static int
give_keys(struct exchange *x)
{
	char iterations[16];

	if (!scram_find(x))
		return GSASL_AUTHENTICATION_ERROR;
	const struct scram_keys *k = &x->scram->keys;
	snprintf(iterations, sizeof iterations, "%u", k->iterations);
	set(x, GSASL_SCRAM_ITER, str_from(iterations));
	set(x, GSASL_SCRAM_SALT, k->salt);
	set(x, GSASL_SCRAM_STOREDKEY, k->stored);
	set(x, GSASL_SCRAM_SERVERKEY, k->server);
	return GSASL_OK;
}

static int
give_binding(struct exchange *x, Gsasl_property property)
{
	const char *type = property == GSASL_CB_TLS_UNIQUE ? "tls-unique" : "tls-exporter";
	struct buf text = {.max = 1024};

	if (x->binding.n == 0 || strcmp(x->binding_type, type) != 0 ||
	    base64_encode(buf_view(&x->binding), &text) == -1)
		return GSASL_NO_CALLBACK;
	set(x, property, buf_view(&text));
	buf_free(&text);
	return GSASL_OK;
}

/* The password is kept; whether it fits is told later. */
static int
take_password(struct exchange *x)
{
	const char *authzid = gsasl_property_fast(x->sasl, GSASL_AUTHZID);
	const char *authid = gsasl_property_fast(x->sasl, GSASL_AUTHID);
	const char *password = gsasl_property_fast(x->sasl, GSASL_PASSWORD);

	if (authid == NULL || password == NULL)
		return GSASL_AUTHENTICATION_ERROR;
	exchange_claim(x, str_from(authid));
	if (authzid != NULL && *authzid != '\0' && strcmp(authzid, authid) != 0)
		return GSASL_AUTHENTICATION_ERROR;
	buf_free_secret(&x->password);
	return buf_puts(&x->password, password) == 0 ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static int
on_property(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
	struct exchange *x = gsasl_session_hook_get(session);

	(void)gsasl;
	if (x == NULL)
		return GSASL_NO_CALLBACK;
	if (property == GSASL_VALIDATE_SIMPLE)
		return take_password(x);
	if (property == GSASL_SCRAM_ITER || property == GSASL_SCRAM_SALT ||
	    property == GSASL_SCRAM_STOREDKEY || property == GSASL_SCRAM_SERVERKEY)
		return give_keys(x);
	if (property == GSASL_CB_TLS_UNIQUE || property == GSASL_CB_TLS_EXPORTER)
		return give_binding(x, property);
	return GSASL_NO_CALLBACK;
}

void
sasl_start(struct auth *a)
{
	gsasl_callback_set(a->gsasl, on_property);
}

/* --- steps --- */

static void
sasl_drop(struct exchange *x)
{
	if (x->sasl != NULL)
		gsasl_finish(x->sasl);
	x->sasl = NULL;
	if (x->scram != NULL)
		buf_free_secret(&x->scram->text);
	free(x->scram);
	x->scram = NULL;
}

/* The client has proved to know the keys. */
static void
scram_passed(struct exchange *x, struct str last)
{
	const char *authid = gsasl_property_fast(x->sasl, GSASL_AUTHID);
	const char *authzid = gsasl_property_fast(x->sasl, GSASL_AUTHZID);
	struct buf name = {.max = 1024};

	if (authzid != NULL && *authzid != '\0' && strcmp(authzid, authid) != 0)
		exchange_fail(x, "to act for another account is not offered");
	else if (x->scram == NULL || !x->scram->known ||
		 !passwords_name(x->auth, str_from(authid), &name))
		exchange_fail(x, "authentication failure");
	else
		exchange_ok_after(x, last, buf_view(&name));
	buf_free(&name);
}

/* Names that some clients look for, in place of the library's. */
static struct str
prompt(const struct exchange *x, struct str data)
{
	if (strcmp(x->name, "LOGIN") != 0)
		return data;
	return str_is(data, "User Name")  ? STR("Username:")
	       : str_is(data, "Password") ? STR("Password:")
					  : data;
}

static void
sasl_respond(struct exchange *x, struct str data)
{
	char *out = NULL;
	size_t n = 0;
	int rc = gsasl_step(x->sasl, data.p, data.n, &out, &n);
	struct str answer = out != NULL ? str_make(out, n) : STR_EMPTY;

	if (rc == GSASL_NEEDS_MORE)
		exchange_challenge(x, prompt(x, answer));
	else if (rc == GSASL_OK && x->password.n > 0)
		passwords_check(x);
	else if (rc == GSASL_OK && x->scram != NULL)
		scram_passed(x, answer);
	else if (x->scram != NULL && x->scram->keys.iterations == 0)
		exchange_fail_temp(x, "the user database cannot be read");
	else if (rc == GSASL_AUTHENTICATION_ERROR)
		exchange_fail(x, "authentication failure");
	else
		exchange_fail(x, rc == GSASL_OK ? "authentication failure" : gsasl_strerror(rc));
	gsasl_free(out);
}

static void
sasl_begin(struct exchange *x, bool has_initial, struct str initial)
{
	char *out = NULL;
	size_t n = 0;

	if (gsasl_server_start(x->auth->gsasl, x->name, &x->sasl) != GSASL_OK) {
		exchange_fail_temp(x, "libgsasl does not have the mechanism");
		return;
	}
	gsasl_session_hook_set(x->sasl, x);
	/* LOGIN asks first; a name that came with the command is the answer. */
	if (has_initial && strcmp(x->name, "LOGIN") == 0 &&
	    gsasl_step(x->sasl, NULL, 0, &out, &n) == GSASL_NEEDS_MORE)
		gsasl_free(out);
	sasl_respond(x, has_initial ? initial : STR_EMPTY);
}

const struct mechanism sasl_mechanisms[] = {
    {"SCRAM-SHA-256-PLUS", false, sasl_begin, sasl_respond, sasl_drop},
    {"SCRAM-SHA-1-PLUS",          false, sasl_begin, sasl_respond, sasl_drop},
    {"SCRAM-SHA-256",           false, sasl_begin, sasl_respond, sasl_drop},
    {"SCRAM-SHA-1",   false, sasl_begin, sasl_respond, sasl_drop},
    {"PLAIN",          true, sasl_begin, sasl_respond, sasl_drop},
    {"LOGIN",           true, sasl_begin, sasl_respond, sasl_drop},
    {NULL     },
};

/* --- EXTERNAL (RFC 4422 appendix A): TLS has proved who it is --- */

static void
external_respond(struct exchange *x, struct str authzid)
{
	exchange_claim(x, str_from(x->certificate));
	if (*x->certificate == '\0')
		exchange_fail(x, "no client certificate");
	else if (authzid.n > 0 && !str_is(authzid, x->certificate))
		exchange_fail(x, "to act for another account is not offered");
	else
		exchange_ok(x, str_from(x->certificate));
}

static void
external_begin(struct exchange *x, bool has_initial, struct str initial)
{
	if (has_initial)
		external_respond(x, initial);
	else
		exchange_challenge(x, STR_EMPTY);
}

const struct mechanism external_mechanism = {
    "EXTERNAL", false, external_begin, external_respond, NULL};
