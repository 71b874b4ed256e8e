/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of an I/O's path: stor:stor_submit, stor:stor_lower_submit,
 * stor:stor_lower_complete, stor:stor_end; and of what is done to its data,
 * stor:stor_encrypt and stor:stor_decrypt.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM stor

#if !defined(_STOR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _STOR_TRACE_H

#include <linux/blk-mq.h>
#include <linux/tracepoint.h>

#define stor_show_op(op)						\
	__print_symbolic(op,						\
			 { REQ_OP_READ, "read" },			\
			 { REQ_OP_WRITE, "write" },			\
			 { REQ_OP_FLUSH, "flush" },			\
			 { REQ_OP_DISCARD, "discard" },			\
			 { REQ_OP_SECURE_ERASE, "secure-erase" },	\
			 { REQ_OP_WRITE_ZEROES, "write-zeroes" })

TRACE_EVENT(stor_submit,
	    TP_PROTO(struct request *rq),
	    TP_ARGS(rq),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u32, op)
			     __field(u64, sector)
			     __field(u32, bytes)
			     __field(u32, tag)
			     __string(disk, rq->q->disk->disk_name)
			    ),
	    TP_fast_assign(__entry->dev = disk_devt(rq->q->disk);
			   __entry->op = req_op(rq);
			   __entry->sector = blk_rq_pos(rq);
			   __entry->bytes = blk_rq_bytes(rq);
			   __entry->tag = rq->tag;
			   __assign_str(disk);
			  ),
	    TP_printk("dev=%d:%d op=%s sector=%llu bytes=%u tag=%u disk=%s",
		      MAJOR(__entry->dev), MINOR(__entry->dev),
		      stor_show_op(__entry->op),
		      __entry->sector, __entry->bytes, __entry->tag,
		      __get_str(disk))
);

DECLARE_EVENT_CLASS(stor_lower,
		    TP_PROTO(struct request *rq, struct bio *bio, u64 sector),
		    TP_ARGS(rq, bio, sector),
		    TP_STRUCT__entry(__field(dev_t, dev)
				     __field(dev_t, lower)
				     __field(u32, op)
				     __field(u64, sector)
				     __field(u64, lower_sector)
				     __field(u32, bytes)
				     __field(u32, tag)
				     __field(int, error)
				     __string(disk, rq->q->disk->disk_name)
				    ),
		    TP_fast_assign(__entry->dev = disk_devt(rq->q->disk);
				   __entry->lower = bio->bi_bdev->bd_dev;
				   __entry->op = req_op(rq);
				   __entry->sector = blk_rq_pos(rq);
				   __entry->lower_sector = sector;
				   __entry->bytes = blk_rq_bytes(rq);
				   __entry->tag = rq->tag;
				   __entry->error = blk_status_to_errno(bio->bi_status);
				   __assign_str(disk);
				  ),
		    TP_printk("dev=%d:%d op=%s sector=%llu bytes=%u tag=%u lower=%d:%d lower_sector=%llu error=%d disk=%s",
			      MAJOR(__entry->dev), MINOR(__entry->dev),
			      stor_show_op(__entry->op),
			      __entry->sector, __entry->bytes, __entry->tag,
			      MAJOR(__entry->lower), MINOR(__entry->lower),
			      __entry->lower_sector, __entry->error,
			      __get_str(disk))
);

DEFINE_EVENT(stor_lower, stor_lower_submit,
	     TP_PROTO(struct request *rq, struct bio *bio, u64 sector),
	     TP_ARGS(rq, bio, sector)
);

DEFINE_EVENT(stor_lower, stor_lower_complete,
	     TP_PROTO(struct request *rq, struct bio *bio, u64 sector),
	     TP_ARGS(rq, bio, sector)
);

DECLARE_EVENT_CLASS(stor_done,
		    TP_PROTO(struct request *rq, blk_status_t status),
		    TP_ARGS(rq, status),
		    TP_STRUCT__entry(__field(dev_t, dev)
				     __field(u32, op)
				     __field(u64, sector)
				     __field(u32, bytes)
				     __field(u32, tag)
				     __field(int, error)
				     __string(disk, rq->q->disk->disk_name)
				    ),
		    TP_fast_assign(__entry->dev = disk_devt(rq->q->disk);
				   __entry->op = req_op(rq);
				   __entry->sector = blk_rq_pos(rq);
				   __entry->bytes = blk_rq_bytes(rq);
				   __entry->tag = rq->tag;
				   __entry->error = blk_status_to_errno(status);
				   __assign_str(disk);
				  ),
		    TP_printk("dev=%d:%d op=%s sector=%llu bytes=%u tag=%u error=%d disk=%s",
			      MAJOR(__entry->dev), MINOR(__entry->dev),
			      stor_show_op(__entry->op),
			      __entry->sector, __entry->bytes, __entry->tag,
			      __entry->error, __get_str(disk))
);

/* The data of a write was encrypted; then comes stor_lower_submit. */
DEFINE_EVENT(stor_done, stor_encrypt,
	     TP_PROTO(struct request *rq, blk_status_t status),
	     TP_ARGS(rq, status)
);

/* The data of a read was decrypted, after stor_lower_complete. */
DEFINE_EVENT(stor_done, stor_decrypt,
	     TP_PROTO(struct request *rq, blk_status_t status),
	     TP_ARGS(rq, status)
);

DEFINE_EVENT(stor_done, stor_end,
	     TP_PROTO(struct request *rq, blk_status_t status),
	     TP_ARGS(rq, status)
);

#endif /* _STOR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
