/* SPDX-License-Identifier: ISC */
/* Connections by way of a load balancer (smtpd_upstream_proxy_protocol). */
#ifndef SMTPD_HAPROXY_H
#define SMTPD_HAPROXY_H

struct session;

/* Reads the balancer's word on who connected, and not one octet more; then the session begins. */
void haproxy_begin(struct session *s);

/* For session_free(). */
void haproxy_drop(struct session *s);

#endif
