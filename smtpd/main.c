/* SPDX-License-Identifier: ISC */
/*
 * smtpd: the SMTP server. Runs as kp-smtpd in an empty root, with no file of its own. Trusted:
 * master, and the answers of router, resolver and cleanup as far as their messages are well formed.
 * Hostile: every octet of a client.
 */
#include "lib/service/service.h"
#include "smtpd/server.h"

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &smtpd_service);
}
