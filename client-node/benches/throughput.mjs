// Messages a second through one Node process: sent, many awaited at once; received, each acked.
// Runs on the cluster that OXMQ_NAME_SERVER names, or else on a broker in this process, which then
// shares its processors. Prints one JSON object a line; every figure counts what came.
import { parseArgs } from 'node:util'
import { connect } from 'oxmq'
import { DevBroker } from 'oxmq/testing'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '200000' },
    bytes: { type: 'string', default: '1024' },
    'in-flight': { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '3' },
  },
})
const messages = Number(values.messages)
const body = Buffer.alloc(Number(values.bytes), 'x')
const inFlight = Number(values['in-flight'])

function report(direction, how, count, start, cpuStart) {
  const seconds = (performance.now() - start) / 1000
  const cpu = process.cpuUsage(cpuStart)
  const figures = {
    direction,
    how,
    messages: count,
    bytes: body.length,
    seconds: Number(seconds.toFixed(3)),
    messages_per_second: Math.round(count / seconds),
    cpu_us_per_message: Number(((cpu.user + cpu.system) / count).toFixed(2)),
  }
  console.log(JSON.stringify(figures))
}

async function send(producer, topic) {
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  let left = messages
  let stored = 0
  const worker = async () => {
    while (left-- > 0) {
      const receipt = await producer.send({ topic, body })
      if (receipt.queueOffset >= 0) stored++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  if (stored !== messages) throw new Error(`${stored} of ${messages} were stored`)
  report('send', `${inFlight.toLocaleString('en')} workers`, stored, start, cpu)
}

async function sendAll(producer, topic) {
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  const receipts = await Promise.all(
    Array.from({ length: messages }, () => producer.send({ topic, body })),
  )
  const stored = new Set(receipts.map(({ messageId }) => messageId)).size
  if (stored !== messages) throw new Error(`${stored} of ${messages} were stored`)
  report('send', 'all awaited at once', stored, start, cpu)
}

async function receive(client, group, topic, count, how) {
  const consumer = client.pushConsumer(group, { [topic]: '*' }, { consumeFrom: 'first' })
  let [start, cpu] = [0, process.cpuUsage()]
  let [received, bytes] = [0, 0]
  const handle = async (delivery) => {
    // From the first message on: joining the group is not what is measured.
    if (received === 0) [start, cpu] = [performance.now(), process.cpuUsage()]
    received++
    bytes += delivery.body.length
    await delivery.ack()
  }
  if (how === 'for await') {
    for await (const delivery of consumer) {
      await handle(delivery)
      if (received === count) break
    }
  } else {
    const running = consumer.run(async (delivery) => {
      await handle(delivery)
      if (received === count) void consumer.drain()
    })
    await running
  }
  const { committed } = await consumer.drain()
  const total = committed
    .filter(({ queue }) => queue.topic === topic)
    .reduce((sum, { offset }) => sum + offset, 0)
  if (received !== count || total !== count || bytes !== count * body.length) {
    throw new Error(`received ${received}, ${bytes} bytes, committed ${total} of ${count}`)
  }
  report('receive', how, received, start, cpu)
}

const given = process.env.OXMQ_NAME_SERVER
const broker = given === undefined ? await DevBroker.start() : undefined
const client = await connect(given ?? broker.nameServer)
const producer = await client.producer('throughput')
const run = Date.now().toString(36)
for (let round = 0; round < Number(values.rounds); round++) {
  const topic = `throughput-${run}-${round}`
  await producer.send({ topic, body })
  await send(producer, topic)
  await sendAll(producer, topic)
  const count = 2 * messages + 1
  await receive(client, `loop-${run}-${round}`, topic, count, 'for await')
  await receive(client, `handlers-${run}-${round}`, topic, count, 'run')
}
await client.close()
await broker?.stop()
