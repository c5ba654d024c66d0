/* Messages between the ranks of an MPI job. A send goes from a copy, so that its buffer is free at once and no rank ever waits for its peer to
 * receive; the copies' memory is used again. The library moves the bytes whenever either rank is inside it. */
#ifdef CS_HAVE_MPI

#include "comm/mpi_comm.h"

#include "base/mem.h"

_Static_assert(sizeof(MPI_Request) <= sizeof(void *), "a request fits into cs_xfer.state");

enum { SMALLEST = 10 }; /* log2 of the bytes of the smallest message */

int cs_mpi_begin_type(int64_t bytes, MPI_Datatype *type)
{
    *type = MPI_BYTE;
    if (bytes <= CS_MPI_MESSAGE_BYTES)
        return (int)bytes;
    MPI_Datatype block, parts[2] = {MPI_DATATYPE_NULL, MPI_BYTE};
    int64_t n = bytes / CS_MPI_MESSAGE_BYTES, rest = bytes % CS_MPI_MESSAGE_BYTES;
    int length[2] = {(int)n, (int)rest};
    MPI_Aint start[2] = {0, (MPI_Aint)(n * CS_MPI_MESSAGE_BYTES)};
    MPI_Type_contiguous(CS_MPI_MESSAGE_BYTES, MPI_BYTE, &block);
    parts[0] = block;
    MPI_Type_create_struct(2, length, start, parts, type);
    MPI_Type_commit(type);
    MPI_Type_free(&block);
    return 1;
}

void cs_mpi_free_type(MPI_Datatype *type)
{
    if (*type != MPI_BYTE)
        MPI_Type_free(type); /* transfers under way keep it */
}

cs_mpi_mail *cs_mpi_mail_take(cs_mpi_rank *self, int64_t bytes)
{
    int k = SMALLEST;
    while (((uint64_t)1 << k) < (uint64_t)bytes + sizeof(cs_mpi_mail))
        k++;
    CS_ASSERT(k < CS_MPI_POOL_CLASSES);
    for (cs_mpi_mail *m = self->pool[k]; m; m = m->next) {
        int gone = !m->held;
        if (m->request != MPI_REQUEST_NULL)
            MPI_Test(&m->request, &gone, MPI_STATUS_IGNORE);
        if (gone)
            return m;
    }
    cs_mpi_mail *m = cs_mem_must(cs_alloc_aligned((size_t)1 << k), (size_t)bytes, "a message to another rank");
    *m = (cs_mpi_mail){.next = self->pool[k], .request = MPI_REQUEST_NULL};
    self->pool[k] = m;
    return m;
}

void cs_mpi_send(cs_comm *comm, const void *buf, int64_t bytes, int to, int tag)
{
    cs_mpi *c = (cs_mpi *)comm;
    cs_mpi_mail *m = cs_mpi_mail_take(c->self, bytes);
    if (bytes > 0)
        memcpy(m->data, buf, (size_t)bytes);
    MPI_Datatype type;
    int n = cs_mpi_begin_type(bytes, &type);
    CS_ASSERT(MPI_Isend(m->data, n, type, to, tag, c->mail, &m->request) == MPI_SUCCESS);
    cs_mpi_free_type(&type);
}

void cs_mpi_recv(cs_xfer *x)
{
    MPI_Datatype type;
    MPI_Request request;
    int n = cs_mpi_begin_type(x->bytes, &type);
    CS_ASSERT(MPI_Irecv(x->buf, n, type, x->peer, x->tag, ((cs_mpi *)x->comm)->mail, &request) == MPI_SUCCESS);
    cs_mpi_free_type(&type);
    memcpy(&x->state, &request, sizeof request);
}

void cs_mpi_recv_wait(cs_xfer *x)
{
    MPI_Request request;
    MPI_Status status;
    MPI_Count got = 0;
    memcpy(&request, &x->state, sizeof request);
    int code = MPI_SUCCESS, class = MPI_SUCCESS, come = 0;
    cs_mpi_pause pause = {0};
    for (;;) {
        code = MPI_Test(&request, &come, &status);
        if (come || code != MPI_SUCCESS)
            break;
        cs_mpi_rest(((cs_mpi *)x->comm)->self, &pause);
    }
    if (code != MPI_SUCCESS)
        MPI_Error_class(code, &class);
    if (class == MPI_ERR_TRUNCATE)
        cs_comm_wrong_length(x, -1);
    CS_ASSERT(class == MPI_SUCCESS);
    MPI_Get_elements_x(&status, MPI_BYTE, &got);
    if (got != x->bytes)
        cs_comm_wrong_length(x, got);
}

void cs_mpi_mail_release(cs_mpi_rank *self)
{
    for (int k = 0; k < CS_MPI_POOL_CLASSES; k++)
        while (self->pool[k]) {
            cs_mpi_mail *next = self->pool[k]->next;
            MPI_Wait(&self->pool[k]->request, MPI_STATUS_IGNORE);
            cs_free(self->pool[k]);
            self->pool[k] = next;
        }
}

#endif
