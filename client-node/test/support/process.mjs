// Waits for a send and for a message, and comes to its end: with everything closed, or with
// everything left open.
import { connect } from 'oxmq'

const [nameServer, topic, group, ending] = process.argv.slice(2)
const client = await connect(nameServer)
const producer = await client.producer('process')
await producer.send({ topic, body: 'x' })
console.log('sent')
const consumer = client.pushConsumer(group, { [topic]: '*' }, { consumeFrom: 'first' })
const { value } = await consumer.next()
await value.ack()
console.log('received')
if (ending === 'close') await client.close()
console.log('end')
