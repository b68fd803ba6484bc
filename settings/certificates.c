/* SPDX-License-Identifier: ISC */
/* Reads the certificate files of each smtpd service as keeper will. */
#include "settings/all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/tls/pem.h"
#include "smtpd/conf.h"
#include "smtpd/files.h"

enum { LIST_MAX = 4096, FILE_MAX = 256 * 1024, DAYS = 14, DAY_S = 24 * 3600 };

static int
read_all(struct str list, struct pem_keys *keys, bool *hidden, struct why *why)
{
	struct pem *pem = pem_new();
	struct str path;
	int rc = 0;

	while (rc == 0 && str_word(&list, ",", &path)) {
		struct buf text;
		char *name = str_dup(path);
		buf_init(&text, FILE_MAX);
		rc = file_read(AT_FDCWD, name, &text, why);
		*hidden |=
		    rc == -1 && geteuid() != 0 && access(name, R_OK) == -1 && errno == EACCES;
		if (rc == 0)
			rc = pem_add(pem, name, buf_view(&text), why);
		if (text.p != NULL)
			explicit_bzero(text.p, text.size);
		buf_free(&text);
		free(name);
	}
	if (rc == 0)
		rc = pem_sort(pem, keys, why);
	pem_free(&pem);
	return rc;
}

/* The certificate that ends first. */
static int
check_expiry(const struct pem_keys *keys, struct why *why)
{
	time_t now = time(NULL), first = now + DAYS * DAY_S;

	for (size_t i = 0; i < keys->n; i++)
		if (keys->items[i].expires < first)
			first = keys->items[i].expires;
	if (first <= now)
		return why_perm(why, NULL, "the certificate has expired");
	if (first - now < DAYS * DAY_S)
		return why_perm(
		    why, NULL, "the certificate expires in %ld days", (long)(first - now) / DAY_S);
	return 0;
}

static int
check_files(struct str list, struct why *why)
{
	struct pem_keys keys = {0};
	bool hidden = false;
	int rc;

	/* Whoever may not read a key cannot tell. */
	if (read_all(list, &keys, &hidden, why) == -1)
		return hidden ? 0 : -1;
	rc = check_expiry(&keys, why);
	pem_keys_clear(&keys);
	return rc;
}

static int
check_service(const struct smtpd_conf *conf, struct why *why)
{
	bool must = strcmp(conf->smtpd_tls_CAfile, "") != 0;
	struct buf list;
	int rc;

	buf_init(&list, LIST_MAX);
	rc = files_list(conf, &list);
	if (rc == -1)
		why_perm(why, NULL, "the list of certificate files is too long");
	else if (list.n > 0)
		rc = check_files(buf_view(&list), why);
	else if (conf->smtpd_tls_wrappermode || conf->smtpd_tls_security_level == 2)
		rc = why_perm(why, NULL, "TLS is a must, but there is no certificate");
	buf_free(&list);
	if (rc == 0 && must) {
		struct buf ca = {.max = 4 * 1024 * 1024};
		rc = file_read(AT_FDCWD, conf->smtpd_tls_CAfile, &ca, why);
		buf_free(&ca);
	}
	return rc;
}

void
settings_check_certificates(
    struct config *c, void (*problem)(void *arg, const char *service, const char *text), void *arg)
{
	for (size_t i = 1; i <= config_services(c); i++) {
		struct smtpd_conf conf = {0};
		struct why why;

		if (strcmp(config_service_program(c, i), "smtpd") != 0)
			continue;
		config_fill(c, i, &smtpd_settings, &conf);
		if (check_service(&conf, &why) == -1)
			problem(arg, config_service_name(c, i), why.text);
		settings_clear(&smtpd_settings, &conf);
		settings_clear(&conf_common_settings, &conf);
	}
}
