// Writes the vectors in this folder with Apache Kafka's own classes:
//
//     java -cp 'FOLDER-OF-KAFKA-JARS/*' Vectors.java .
//
// NAME.batch is the bytes of a log, NAME.records is what Kafka's iterator reads from them,
// a line per record: offset, timestamp, key, value, headers; bytes in hexadecimal, "-" for
// null. Kafka 4.3.1 wrote those that are here.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class Vectors {
    static final long TIME = 1_600_000_000_000L;
    static final long NONE = RecordBatch.NO_TIMESTAMP;
    static Path dir;

    public static void main(String[] args) throws Exception {
        dir = Paths.get(args[0]);
        Map<String, Compression> codecs = new TreeMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
        codecs.put("zstd", Compression.zstd().build());
        for (Map.Entry<String, Compression> codec : codecs.entrySet()) {
            for (byte magic = 0; magic <= 2; magic++) {
                if (magic < 2 && codec.getKey().equals("zstd"))
                    continue;
                for (TimestampType type : List.of(TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)) {
                    if (magic == 0 && type == TimestampType.LOG_APPEND_TIME)
                        continue;
                    write("v" + magic + "-" + codec.getKey() + (type == TimestampType.CREATE_TIME ? "" : "-appendtime"),
                        data(magic, codec.getValue(), type));
                }
            }
        }
        write("v2-transactional", transactional());
        write("v2-compacted", compacted());
        write("v2-deletehorizon", deleteHorizon());
        write("v2-emptied", emptied());
        write("v2-commit", marker(ControlRecordType.COMMIT));
        write("v2-abort", marker(ControlRecordType.ABORT));
        write("v2-leaderchange", MemoryRecords.withLeaderChangeMessage(77, TIME, 3, ByteBuffer.allocate(256),
            new LeaderChangeMessage().setLeaderId(1)));
    }

    static MemoryRecords data(byte magic, Compression codec, TimestampType type) {
        long append = type == TimestampType.LOG_APPEND_TIME ? TIME + 99 : NONE;
        MemoryRecordsBuilder b = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), magic, codec, type, 1000, append, 7);
        for (int i = 0; i < 6; i++) {
            byte[] key = i == 0 ? null : i == 1 ? new byte[0] : ("key " + i).getBytes(StandardCharsets.UTF_8);
            byte[] value = i == 2 ? null : i == 3 ? new byte[0] : "value ".repeat(40 * i + 1).getBytes(StandardCharsets.UTF_8);
            long time = magic == 0 ? NONE : TIME + 7 * (i % 4);
            if (magic < 2)
                b.append(time, key, value);
            else
                b.append(time, key, value, headers(i));
        }
        return b.build();
    }

    static Header[] headers(int n) {
        Header[] all = {
            new RecordHeader("a", "1".getBytes()), new RecordHeader("a", null), new RecordHeader("", new byte[0]),
            new RecordHeader("\u00fcber", new byte[] {0, (byte) 0xff}), new RecordHeader("a", "2".getBytes()),
        };
        return Arrays.copyOf(all, Math.min(n, all.length));
    }

    static MemoryRecords transactional() {
        MemoryRecordsBuilder b = MemoryRecords.builder(ByteBuffer.allocate(1024), (byte) 2, Compression.NONE,
            TimestampType.CREATE_TIME, 500, NONE, 9001, (short) 4, Integer.MAX_VALUE - 1, true, 7);
        for (int i = 0; i < 4; i++)
            b.append(TIME + i, ("k" + i).getBytes(), "v".getBytes());
        return b.build();
    }

    static MemoryRecords compacted() {
        MemoryRecordsBuilder b = MemoryRecords.builder(ByteBuffer.allocate(1024), (byte) 2, Compression.zstd().build(),
            TimestampType.CREATE_TIME, 300, NONE, 9001, (short) 4, 17, false, 7);
        for (int delta : new int[] {2, 3, 9})
            b.appendWithOffset(300 + delta, TIME - delta, ("k" + delta).getBytes(), "v".getBytes());
        b.overrideLastOffset(312);
        return b.build();
    }

    static MemoryRecords deleteHorizon() {
        MemoryRecordsBuilder b = new MemoryRecordsBuilder(
            new org.apache.kafka.common.utils.ByteBufferOutputStream(ByteBuffer.allocate(1024)), (byte) 2, Compression.NONE,
            TimestampType.CREATE_TIME, 40, NONE, RecordBatch.NO_PRODUCER_ID, RecordBatch.NO_PRODUCER_EPOCH,
            RecordBatch.NO_SEQUENCE, false, false, 7, 1024, TIME + 86_400_000L);
        b.append(TIME, "k".getBytes(), null);
        b.append(TIME + 1, "l".getBytes(), "v".getBytes());
        return b.build();
    }

    static MemoryRecords emptied() {
        ByteBuffer out = ByteBuffer.allocate(RecordBatch.MAGIC_VALUE_V2 * 100);
        DefaultRecordBatch.writeEmptyHeader(out, (byte) 2, 9001, (short) 4, 20, 600, 609, 7,
            TimestampType.CREATE_TIME, TIME, true, false);
        out.flip();
        return MemoryRecords.readableRecords(out);
    }

    static MemoryRecords marker(ControlRecordType type) {
        return MemoryRecords.withEndTransactionMarker(777, TIME, 7, 9001, (short) 4, new EndTransactionMarker(type, 13));
    }

    static void write(String name, MemoryRecords records) throws Exception {
        ByteBuffer bytes = records.buffer().duplicate();
        byte[] out = new byte[bytes.remaining()];
        bytes.get(out);
        Files.write(dir.resolve(name + ".batch"), out);
        StringBuilder text = new StringBuilder();
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            for (org.apache.kafka.common.record.internal.Record r : batch) {
                text.append(r.offset()).append(' ').append(r.timestamp()).append(' ');
                text.append(hex(r.key())).append(' ').append(hex(r.value()));
                for (Header h : r.headers())
                    text.append(' ').append(hex(ByteBuffer.wrap(h.key().getBytes(StandardCharsets.UTF_8)))).append('=')
                        .append(hex(h.value() == null ? null : ByteBuffer.wrap(h.value())));
                text.append('\n');
            }
        }
        Files.writeString(dir.resolve(name + ".records"), text);
    }

    static String hex(ByteBuffer b) {
        if (b == null)
            return "-";
        StringBuilder s = new StringBuilder("x");
        while (b.hasRemaining())
            s.append(String.format("%02x", b.get()));
        return s.toString();
    }
}
