// The chat of Socket.IO: `join` and `publish` come in, `message` goes to the room.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const [port] = process.argv.slice(2)
const http = createServer()
const server = new Server(http, { transports: ['websocket'], perMessageDeflate: false })

server.on('connection', (socket) => {
  let room
  socket.on('join', (name, done) => {
    room = name
    socket.join(name)
    done()
  })
  socket.on('publish', (message) => server.to(room).emit('message', message))
})
http.listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 })
