/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template-client.h"

#include <sys/socket.h>
#include <unistd.h>

TemplateClient *template_client_new(int fd)
{
    TemplateClient *client = g_new0(TemplateClient, 1);

    atomic_init(&client->n_refs, 1);
    client->fd = fd;
    return client;
}

TemplateClient *template_client_ref(TemplateClient *client)
{
    /* Relaxed: who has a reference gives it. */
    atomic_fetch_add_explicit(&client->n_refs, 1, memory_order_relaxed);
    return client;
}

void template_client_unref(TemplateClient *client)
{
    /* Release and acquire: what others did with theirs is over. */
    if (atomic_fetch_sub_explicit(&client->n_refs, 1, memory_order_acq_rel) ==
        1) {
        close(client->fd);
        g_free(client);
    }
}

bool template_client_answer(const TemplateClient *client,
                            const TemplateMessage *message, const char *text)
{
    bool ok = template_send(client->fd, message, text, NULL, 0) == 0;

    if (!ok) {
        (void)shutdown(client->fd, SHUT_RDWR);
    }
    return ok;
}

bool template_client_answer_kind(const TemplateClient *client,
                                 TemplateKind kind, const char *text)
{
    const TemplateMessage message = {.kind = kind};

    return template_client_answer(client, &message, text);
}
