// Sends and receives in a thread of its own.
import { parentPort, workerData } from 'node:worker_threads'
import { connect } from 'oxmq'

const { nameServer, topic, group } = workerData
const client = await connect(nameServer)
const producer = await client.producer('threads')
await Promise.all(Array.from({ length: 100 }, () => producer.send({ topic, body: 'x' })))
const consumer = client.pushConsumer(group, { [topic]: '*' }, { consumeFrom: 'first' })
let received = 0
for await (const delivery of consumer) {
  await delivery.ack()
  if (++received === 300) break
}
await client.close()
parentPort.postMessage(received)
