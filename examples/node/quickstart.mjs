// Sends one message and consumes it. Stands in the README as it is here.

import { connect } from 'oxmq'

const client = await connect(process.env.OXMQ_NAME_SERVER ?? '127.0.0.1:9876')

const producer = await client.producer('orders-service')
const receipt = await producer.send({ topic: 'orders', body: 'one espresso', tag: 'paid', key: 'order-42' })
console.log('stored as', receipt.messageId)

const consumer = client.pushConsumer('billing', { orders: 'paid || refunded' }, { consumeFrom: 'first' })
for await (const delivery of consumer) {
  console.log('received', Buffer.from(delivery.body).toString())
  await delivery.ack()
  break
}
await client.close()
