/* SPDX-License-Identifier: ISC */
/* smtpd_tls_chain_files stands for itself; without it, the two pairs of certificate and key. */
#include "smtpd/files.h"

#include <string.h>

#include "lib/base/buf.h"
#include "smtpd/conf.h"

/* "key,certificate", or the file that has both. */
static int
add_pair(struct buf *files, const char *certificate, const char *key)
{
	bool apart = strcmp(certificate, key) != 0;

	if (certificate[0] == '\0')
		return 0;
	return buf_printf(files, "%s%s%s%s", files->n > 0 ? "," : "", apart ? key : "",
	    apart ? "," : "", certificate);
}

int
files_list(const struct smtpd_conf *conf, struct buf *files)
{
	const struct setting_list *chain = &conf->smtpd_tls_chain_files;

	for (size_t i = 0; i < chain->n; i++)
		if (add_pair(files, chain->items[i], chain->items[i]) == -1)
			return -1;
	if (chain->n > 0)
		return 0;
	if (add_pair(files, conf->smtpd_tls_cert_file, conf->smtpd_tls_key_file) == -1)
		return -1;
	return add_pair(files, conf->smtpd_tls_eccert_file, conf->smtpd_tls_eckey_file);
}
