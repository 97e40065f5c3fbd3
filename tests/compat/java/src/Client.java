import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Apache's Java client as a script: one command, {@code name=value} options, one JSON object a line on standard
 * output for everything that happens. Nothing else is printed there.
 *
 * <pre>
 * produce  name-server= topic= [group=] [count=] [prefix=] [tags=a,b] [delay-level=] [size=]
 * consume  name-server= topic= group= [tags=*] [from=first|last] [instance=] [expect=N | until=stdin]
 *          [fail-first=true] [timeout=seconds]
 * </pre>
 *
 * A consumer ends after {@code expect} acknowledged messages, or when its standard input ends; both ways are a clean
 * shutdown, which sends the offsets.
 */
public final class Client {
    private final Map<String, String> options = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Client client = new Client();
        for (String option : Arrays.asList(args).subList(1, args.length)) {
            String[] parts = option.split("=", 2);
            client.options.put(parts[0], parts[1]);
        }
        switch (args[0]) {
            case "produce":
                client.produce();
                break;
            case "consume":
                client.consume();
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        // The client leaves threads behind that are no daemons.
        System.exit(0);
    }

    private void produce() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(option("group", "java-producers"));
        producer.setNamesrvAddr(option("name-server", null));
        producer.setInstanceName(option("instance", "producer-" + ProcessHandle.current().pid()));
        producer.setSendMsgTimeout(10_000);
        producer.start();
        String[] tags = option("tags", "").split(",");
        String padding = String.join("", Collections.nCopies(number("size", 0), "."));
        for (int i = 0; i < number("count", 1); i++) {
            String tag = tags[i % tags.length];
            String key = option("prefix", "m") + "-" + i;
            byte[] body = (key + padding).getBytes(StandardCharsets.UTF_8);
            Message message = new Message(option("topic", null), tag, key, body);
            message.putUserProperty("number", Integer.toString(i));
            if (number("delay-level", 0) > 0) {
                message.setDelayTimeLevel(number("delay-level", 0));
            }
            SendResult result = producer.send(message);
            MessageQueue queue = result.getMessageQueue();
            print("sent", "key", key, "tag", tag, "id", result.getMsgId(), "offset_id", result.getOffsetMsgId(),
                "status", result.getSendStatus().name(), "broker", queue.getBrokerName(),
                "queue", queue.getQueueId(), "offset", result.getQueueOffset());
        }
        producer.shutdown();
        print("closed");
    }

    private void consume() throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(option("group", null));
        consumer.setNamesrvAddr(option("name-server", null));
        consumer.setInstanceName(option("instance", "consumer-" + ProcessHandle.current().pid()));
        consumer.setConsumeFromWhere(option("from", "first").equals("first")
            ? ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET : ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.setPollNameServerInterval(1_000);
        consumer.setHeartbeatBrokerInterval(2_000);
        // So that the offsets sent at the end count what the listener took last.
        consumer.setAwaitTerminationMillisWhenShutdown(5_000);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.subscribe(option("topic", null), option("tags", "*"));
        boolean failFirst = Boolean.parseBoolean(option("fail-first", "false"));
        CountDownLatch left = new CountDownLatch(number("expect", Integer.MAX_VALUE));
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            MessageExt message = messages.get(0);
            boolean fail = failFirst && message.getReconsumeTimes() == 0;
            received(message, fail ? "later" : "ack");
            if (fail) {
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            left.countDown();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        watchAssignment(consumer);
        print("started");
        if (option("until", "").equals("stdin")) {
            Scanner input = new Scanner(System.in);
            while (input.hasNextLine()) {
                input.nextLine();
            }
        } else if (!left.await(number("timeout", 60), TimeUnit.SECONDS)) {
            print("timeout", "missing", left.getCount());
        }
        consumer.shutdown();
        print("closed");
    }

    private static void received(MessageExt message, String verdict) {
        String body = new String(message.getBody(), StandardCharsets.UTF_8);
        print("received", "key", message.getKeys(), "tag", message.getTags(), "id", message.getMsgId(),
            "topic", message.getTopic(), "body", body, "number", message.getUserProperty("number"),
            "broker", message.getBrokerName(), "queue", message.getQueueId(), "offset", message.getQueueOffset(),
            "reconsume_times", message.getReconsumeTimes(), "verdict", verdict);
    }

    /** Prints the queues that this member holds, each time they change. */
    private static void watchAssignment(DefaultMQPushConsumer consumer) {
        Thread thread = new Thread(() -> {
            List<String> last = null;
            while (true) {
                List<String> queues = new ArrayList<>();
                for (MessageQueue queue
                    : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
                    queues.add(queue.getTopic() + "@" + queue.getBrokerName() + ":" + queue.getQueueId());
                }
                Collections.sort(queues);
                if (!queues.equals(last)) {
                    print("assigned", "queues", queues);
                    last = queues;
                }
                try {
                    Thread.sleep(50);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private String option(String name, String otherwise) {
        String value = options.getOrDefault(name, otherwise);
        if (value == null) {
            throw new IllegalArgumentException("missing option " + name);
        }
        return value;
    }

    private int number(String name, int otherwise) {
        return Integer.parseInt(option(name, Integer.toString(otherwise)));
    }

    private static synchronized void print(String event, Object... pairs) {
        StringBuilder line = new StringBuilder("{\"event\":").append(json(event));
        for (int i = 0; i < pairs.length; i += 2) {
            line.append(',').append(json(pairs[i])).append(':').append(json(pairs[i + 1]));
        }
        System.out.println(line.append('}'));
        System.out.flush();
    }

    private static String json(Object value) {
        if (value == null || value instanceof Number) {
            return String.valueOf(value);
        }
        if (value instanceof List) {
            List<String> items = new ArrayList<>();
            for (Object item : (List<?>) value) {
                items.add(json(item));
            }
            return "[" + String.join(",", items) + "]";
        }
        StringBuilder text = new StringBuilder("\"");
        for (char c : value.toString().toCharArray()) {
            if (c == '"' || c == '\\' || c < ' ') {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        return text.append('"').toString();
    }
}
