"""A connection for each message, served as textbooks do it in Python: a thread for each connection. Nothing is stored."""

import socket
import threading


def serve(connection):
    with connection:
        if connection.recv(4096):
            connection.sendall(b"ACK!")


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
