import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.lang.reflect.Field;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.SerializeType;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.body.LockBatchRequestBody;
import org.apache.rocketmq.remoting.protocol.header.ConsumerSendMsgBackRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerListByGroupRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerListByGroupResponseBody;
import org.apache.rocketmq.remoting.protocol.header.GetMaxOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetMaxOffsetResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.NotifyConsumerIdsChangedRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.SearchOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeaderV2;
import org.apache.rocketmq.remoting.protocol.header.SendMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.UnregisterClientRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.UpdateConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.GetRouteInfoRequestHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumeType;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.HeartbeatData;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.heartbeat.ProducerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.SubscriptionData;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;

/**
 * Prints bytes that Apache's own classes write, as one JSON document: frames in both header encodings, message
 * records, property strings, batches and ids. All values in them are fixed, so two runs print the same.
 *
 * The package names are those of 5.x; for 4.9 the test harness rewrites them before it compiles this file.
 */
public final class Golden {
    private static final List<String> FRAMES = new ArrayList<>();
    private static final List<String> RECORDS = new ArrayList<>();
    private static final long BORN = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        System.setProperty(RemotingCommand.REMOTING_VERSION_KEY, Integer.toString(MQVersion.CURRENT_VERSION));
        sends();
        pulls();
        offsets();
        groups();
        routes();
        records();
        String properties = MessageDecoder.messageProperties2String(properties());
        System.out.println("{\n\"made_by\": " + json("Apache RocketMQ " + args[0] + ", tests/compat/java/src/Golden.java")
            + ",\n\"version\": " + MQVersion.CURRENT_VERSION
            + ",\n\"frames\": [\n" + String.join(",\n", FRAMES)
            + "\n],\n\"records\": [\n" + String.join(",\n", RECORDS)
            + "\n],\n\"properties\": {\"fields\": " + json(properties()) + ", \"hex\": " + json(hex(bytes(properties)))
            + "},\n\"batch\": {\"class\": \"MessageDecoder.encodeMessages\", \"hex\": " + json(hex(batch()))
            + "},\n\"tag_hashes\": " + tagHashes() + "\n}");
    }

    private static void sends() throws Exception {
        SendMessageRequestHeader header = new SendMessageRequestHeader();
        header.setProducerGroup("orders-service");
        header.setTopic("orders");
        header.setDefaultTopic("TBW102");
        header.setDefaultTopicQueueNums(4);
        header.setQueueId(2);
        header.setSysFlag(0);
        header.setBornTimestamp(BORN);
        header.setFlag(0);
        header.setProperties(MessageDecoder.messageProperties2String(properties()));
        header.setReconsumeTimes(0);
        header.setUnitMode(false);
        header.setBatch(false);
        SendMessageRequestHeaderV2 second = SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(header);
        request("send_message", RequestCode.SEND_MESSAGE, header, bytes("hello"));
        request("send_message_v2", RequestCode.SEND_MESSAGE_V2, second, bytes("hello"));
        SendMessageResponseHeader answer = new SendMessageResponseHeader();
        answer.setMsgId("0A00000100002A9F00000000000004D2");
        answer.setQueueId(2);
        answer.setQueueOffset(41L);
        response("send_message_answer", ResponseCode.SUCCESS, null, answer, null);
        response("send_message_busy", ResponseCode.SYSTEM_BUSY, "[PCBUSY_CLEAN_QUEUE]broker busy, \"\u00e9\" \u4e2d",
            null, null);
        response("send_message_error_escaped", ResponseCode.SYSTEM_ERROR, "a line\n\tand another\u0001\\", null,
            null);
        ConsumerSendMsgBackRequestHeader back = new ConsumerSendMsgBackRequestHeader();
        back.setOffset(1234L);
        back.setGroup("billing");
        back.setDelayLevel(3);
        back.setOriginMsgId("7F00000100002A9F0000000000000001");
        back.setOriginTopic("orders");
        back.setUnitMode(false);
        back.setMaxReconsumeTimes(16);
        request("consumer_send_msg_back", RequestCode.CONSUMER_SEND_MSG_BACK, back, null);
    }

    private static void pulls() throws Exception {
        PullMessageRequestHeader header = new PullMessageRequestHeader();
        header.setConsumerGroup("billing");
        header.setTopic("orders");
        header.setQueueId(3);
        header.setQueueOffset(100L);
        header.setMaxMsgNums(32);
        header.setSysFlag(6);
        header.setCommitOffset(0L);
        header.setSuspendTimeoutMillis(15000L);
        header.setSubscription("paid || refunded");
        header.setSubVersion(BORN);
        header.setExpressionType("TAG");
        request("pull_message", RequestCode.PULL_MESSAGE, header, null);
        PullMessageResponseHeader answer = new PullMessageResponseHeader();
        answer.setSuggestWhichBrokerId(0L);
        answer.setNextBeginOffset(101L);
        answer.setMinOffset(0L);
        answer.setMaxOffset(200L);
        response("pull_message_answer", ResponseCode.SUCCESS, "FOUND", answer, record("plain", message(false)));
    }

    private static void offsets() throws Exception {
        QueryConsumerOffsetRequestHeader query = new QueryConsumerOffsetRequestHeader();
        query.setConsumerGroup("billing");
        query.setTopic("orders");
        query.setQueueId(1);
        request("query_consumer_offset", RequestCode.QUERY_CONSUMER_OFFSET, query, null);
        QueryConsumerOffsetResponseHeader answer = new QueryConsumerOffsetResponseHeader();
        answer.setOffset(77L);
        response("query_consumer_offset_answer", ResponseCode.SUCCESS, null, answer, null);
        response("query_consumer_offset_none", ResponseCode.QUERY_NOT_FOUND, "Not found", null, null);
        UpdateConsumerOffsetRequestHeader update = new UpdateConsumerOffsetRequestHeader();
        update.setConsumerGroup("billing");
        update.setTopic("orders");
        update.setQueueId(1);
        update.setCommitOffset(78L);
        RemotingCommand oneway = RemotingCommand.createRequestCommand(RequestCode.UPDATE_CONSUMER_OFFSET, update);
        oneway.markOnewayRPC();
        frame("update_consumer_offset_oneway", oneway, update);
        GetMaxOffsetRequestHeader max = new GetMaxOffsetRequestHeader();
        max.setTopic("orders");
        max.setQueueId(1);
        request("get_max_offset", RequestCode.GET_MAX_OFFSET, max, null);
        GetMaxOffsetResponseHeader maxAnswer = new GetMaxOffsetResponseHeader();
        maxAnswer.setOffset(4_294_967_296L);
        response("get_max_offset_answer", ResponseCode.SUCCESS, null, maxAnswer, null);
        SearchOffsetRequestHeader search = new SearchOffsetRequestHeader();
        search.setTopic("orders");
        search.setQueueId(1);
        search.setTimestamp(BORN);
        request("search_offset_by_timestamp", RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, search, null);
    }

    private static void groups() throws Exception {
        ProducerData producer = new ProducerData();
        producer.setGroupName("orders-service");
        SubscriptionData subscription = new SubscriptionData("orders", "paid || refunded");
        subscription.setSubVersion(BORN);
        for (String tag : new String[] {"paid", "refunded"}) {
            subscription.getTagsSet().add(tag);
            subscription.getCodeSet().add(tag.hashCode());
        }
        ConsumerData consumer = new ConsumerData();
        consumer.setGroupName("billing");
        consumer.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
        consumer.setMessageModel(MessageModel.CLUSTERING);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.getSubscriptionDataSet().add(subscription);
        consumer.setUnitMode(false);
        HeartbeatData heartbeat = new HeartbeatData();
        heartbeat.setClientID("10.0.0.1@billing-1");
        heartbeat.getProducerDataSet().add(producer);
        heartbeat.getConsumerDataSet().add(consumer);
        request("heart_beat", RequestCode.HEART_BEAT, null, heartbeat.encode());
        UnregisterClientRequestHeader unregister = new UnregisterClientRequestHeader();
        unregister.setClientID("10.0.0.1@billing-1");
        unregister.setConsumerGroup("billing");
        request("unregister_client", RequestCode.UNREGISTER_CLIENT, unregister, null);
        GetConsumerListByGroupRequestHeader list = new GetConsumerListByGroupRequestHeader();
        list.setConsumerGroup("billing");
        request("get_consumer_list_by_group", RequestCode.GET_CONSUMER_LIST_BY_GROUP, list, null);
        GetConsumerListByGroupResponseBody members = new GetConsumerListByGroupResponseBody();
        members.setConsumerIdList(Arrays.asList("10.0.0.1@billing-1", "10.0.0.2@billing-2"));
        response("get_consumer_list_by_group_answer", ResponseCode.SUCCESS, null, null, members.encode());
        NotifyConsumerIdsChangedRequestHeader changed = new NotifyConsumerIdsChangedRequestHeader();
        changed.setConsumerGroup("billing");
        RemotingCommand notice = RemotingCommand.createRequestCommand(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, changed);
        notice.markOnewayRPC();
        frame("notify_consumer_ids_changed", notice, changed);
        LockBatchRequestBody lock = new LockBatchRequestBody();
        lock.setConsumerGroup("billing");
        lock.setClientId("10.0.0.1@billing-1");
        lock.getMqSet().add(new MessageQueue("orders", "broker-a", 1));
        request("lock_batch_mq", RequestCode.LOCK_BATCH_MQ, null, lock.encode());
    }

    private static void routes() throws Exception {
        GetRouteInfoRequestHeader header = new GetRouteInfoRequestHeader();
        header.setTopic("orders");
        request("get_routeinfo_by_topic", RequestCode.GET_ROUTEINFO_BY_TOPIC, header, null);
        HashMap<Long, String> addresses = new HashMap<>();
        addresses.put(0L, "10.0.0.1:10911");
        addresses.put(1L, "10.0.0.2:10911");
        QueueData queues = new QueueData();
        queues.setBrokerName("broker-a");
        queues.setReadQueueNums(8);
        queues.setWriteQueueNums(4);
        queues.setPerm(6);
        TopicRouteData route = new TopicRouteData();
        route.setBrokerDatas(new ArrayList<>(Arrays.asList(new BrokerData("DefaultCluster", "broker-a", addresses))));
        route.setQueueDatas(new ArrayList<>(Arrays.asList(queues)));
        route.setFilterServerTable(new HashMap<>());
        // What the name server answers to clients of before and after 4.9.4.
        response("get_routeinfo_by_topic_answer_bare_keys", ResponseCode.SUCCESS, null, null, route.encode());
        byte[] standard = com.alibaba.fastjson.JSON.toJSONString(route,
            com.alibaba.fastjson.serializer.SerializerFeature.BrowserCompatible,
            com.alibaba.fastjson.serializer.SerializerFeature.QuoteFieldNames,
            com.alibaba.fastjson.serializer.SerializerFeature.SkipTransientField,
            com.alibaba.fastjson.serializer.SerializerFeature.MapSortField).getBytes(StandardCharsets.UTF_8);
        response("get_routeinfo_by_topic_answer_standard", ResponseCode.SUCCESS, null, null, standard);
        response("get_routeinfo_by_topic_none", ResponseCode.TOPIC_NOT_EXIST,
            "No topic route info in name server for the topic: orders", null, null);
    }

    private static void records() throws Exception {
        record("plain", message(false));
        record("ipv6", message(true));
        MessageExt zipped = message(false);
        zipped.setBody(bytes("RocketMQ RocketMQ RocketMQ RocketMQ RocketMQ RocketMQ"));
        zipped.setSysFlag(zipped.getSysFlag() | MessageSysFlag.COMPRESSED_FLAG);
        record("zlib", zipped);
        MessageExt empty = message(false);
        empty.setBody(new byte[0]);
        MessageAccessor.setProperties(empty, new HashMap<>());
        record("empty", empty);
    }

    private static MessageExt message(boolean v6) throws Exception {
        MessageExt message = new MessageExt();
        message.setTopic("orders");
        message.setBody(bytes("hello, \u4e16\u754c"));
        message.setFlag(9);
        message.setQueueId(2);
        message.setQueueOffset(41);
        message.setCommitLogOffset(1234);
        message.setBornTimestamp(BORN);
        message.setStoreTimestamp(BORN + 5);
        message.setReconsumeTimes(1);
        message.setPreparedTransactionOffset(0);
        String host = v6 ? "2001:db8::1" : "10.0.0.9";
        String store = v6 ? "2001:db8::2" : "10.0.0.1";
        message.setBornHost(new InetSocketAddress(InetAddress.getByName(host), 54321));
        message.setStoreHost(new InetSocketAddress(InetAddress.getByName(store), 10911));
        if (v6) {
            message.setBornHostV6Flag();
            message.setStoreHostAddressV6Flag();
        }
        MessageAccessor.setProperties(message, properties());
        return message;
    }

    private static byte[] record(String name, MessageExt message) throws Exception {
        boolean zip = (message.getSysFlag() & MessageSysFlag.COMPRESSED_FLAG) != 0;
        byte[] record = MessageDecoder.encode(message, zip);
        // Java leaves the CRC 0 here; a broker writes it. It stands 8 bytes from the start.
        ByteBuffer view = ByteBuffer.wrap(record);
        MessageExt read = MessageDecoder.decode(ByteBuffer.wrap(record), true, false);
        view.putInt(8, UtilAll.crc32(read.getBody()));
        for (String line : RECORDS) {
            if (line.startsWith("{\"name\": " + json(name))) {
                return record;
            }
        }
        ByteBuffer store = message.getStoreHostBytes();
        String offsetId = MessageDecoder.createMessageId(
            ByteBuffer.allocate(store.remaining() + 8), store, message.getCommitLogOffset());
        RECORDS.add("{\"name\": " + json(name) + ", \"class\": \"MessageDecoder.encode\", \"offset_id\": "
            + json(offsetId) + ", \"body\": " + json(hex(message.getBody())) + ", \"properties\": "
            + json(message.getProperties()) + ",\n \"hex\": " + json(hex(record)) + "}");
        return record;
    }

    private static byte[] batch() {
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Message message = new Message("orders", bytes("item-" + i));
            MessageAccessor.setProperties(message, new HashMap<>());
            MessageAccessor.putProperty(message, MessageConst.PROPERTY_TAGS, "tag-" + i);
            messages.add(message);
        }
        return MessageDecoder.encodeMessages(messages);
    }

    private static Map<String, String> properties() {
        Map<String, String> properties = new TreeMap<>();
        properties.put(MessageConst.PROPERTY_TAGS, "paid");
        properties.put(MessageConst.PROPERTY_KEYS, "order-42 invoice-7");
        properties.put(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, "0A00000900AB18B4AAC208F4A4F30000");
        properties.put(MessageConst.PROPERTY_WAIT_STORE_MSG_OK, "true");
        properties.put("note", "\u00e9t\u00e9 \u4e2d\u6587 \ud83d\ude80");
        return new HashMap<>(properties);
    }

    private static String tagHashes() {
        List<String> hashes = new ArrayList<>();
        for (String tag : new String[] {"paid", "refunded", "TagA", "", "\u00e9t\u00e9", "\u4e2d\u6587", "\ud83d\ude80",
            "polygenelubricants"}) {
            hashes.add(json(tag) + ": " + tag.hashCode());
        }
        return "{" + String.join(", ", hashes) + "}";
    }

    private static void request(String name, int code, CommandCustomHeader header, byte[] body) throws Exception {
        RemotingCommand command = RemotingCommand.createRequestCommand(code, header);
        command.setBody(body);
        frame(name, command, header);
    }

    private static void response(String name, int code, String remark, CommandCustomHeader header, byte[] body)
        throws Exception {
        // Made as a broker makes it: with a header class, and the mark of a response.
        RemotingCommand command = RemotingCommand.createResponseCommand(code, remark);
        Field custom = RemotingCommand.class.getDeclaredField("customHeader");
        custom.setAccessible(true);
        custom.set(command, header);
        command.setBody(body);
        frame(name, command, header);
    }

    /** The frame in both header encodings, by the method that Netty's encoder calls. */
    private static void frame(String name, RemotingCommand command, CommandCustomHeader header) {
        command.setOpaque(7);
        List<String> encodings = new ArrayList<>();
        for (SerializeType type : new SerializeType[] {SerializeType.JSON, SerializeType.ROCKETMQ}) {
            command.setExtFields(null);
            command.setSerializeTypeCurrentRPC(type);
            ByteBuf out = Unpooled.buffer();
            command.fastEncodeHeader(out);
            if (command.getBody() != null) {
                out.writeBytes(command.getBody());
            }
            byte[] bytes = new byte[out.readableBytes()];
            out.readBytes(bytes);
            encodings.add(json(type.name().toLowerCase()) + ": " + json(hex(bytes)));
        }
        command.setExtFields(null);
        command.makeCustomHeaderToNet();
        Map<String, String> fields = command.getExtFields() == null ? new HashMap<>() : command.getExtFields();
        FRAMES.add("{\"name\": " + json(name) + ", \"class\": "
            + json(header == null ? "RemotingCommand" : header.getClass().getSimpleName())
            + ", \"code\": " + command.getCode() + ", \"flag\": " + command.getFlag()
            + ", \"remark\": " + (command.getRemark() == null ? "null" : json(command.getRemark()))
            + ", \"fields\": " + json(fields)
            + ",\n \"body\": " + json(hex(command.getBody() == null ? new byte[0] : command.getBody()))
            + ",\n " + String.join(",\n ", encodings) + "}");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    private static String json(Map<String, String> map) {
        List<String> entries = new ArrayList<>();
        new TreeMap<>(map).forEach((name, value) -> entries.add(json(name) + ": " + json(value)));
        return "{" + String.join(", ", entries) + "}";
    }

    private static String json(String value) {
        StringBuilder text = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\' || c < ' ') {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        return text.append('"').toString();
    }
}
