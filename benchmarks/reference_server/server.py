"""The loop: one thread, one epoll, and a timer for what is due next.

Knows nothing of what answers say; it reads requests, resumes scripts when they can go on, and logs.
"""

from __future__ import annotations

import gc
import select
import signal
import socket
import sys
import time
from collections import deque

from benchmarks.reference_server.calls import ADMITTED, ENDED, WRITABLE, Call, Pace, Then
from benchmarks.reference_server.connections import Connection
from benchmarks.reference_server.delays import Delays
from benchmarks.reference_server.http_messages import Refused, read_head
from benchmarks.reference_server.lateness import Lateness
from benchmarks.reference_server.routes import is_logged, refusal, route
from benchmarks.reference_server.served import Ending, ServedLog, ServerSummary
from benchmarks.reference_server.settings import Settings
from benchmarks.reference_server.timer_wheel import Alarm, TimerWheel

# Events that are handled before tokens have their turn again; reading a request takes about 20 us.
_MAX_EVENTS = 32
_MAX_ACCEPTED = 32
_BACKLOG = 4096

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def listen(port: int, *, shares_port: bool = False) -> socket.socket:
    """A listening socket of loopback.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted sockets inherit both. BBR, a common default, paces: bytes may leave later than they are handed over.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


class Server:
    """Serves until it is told to stop."""

    def __init__(self, settings: Settings, listener: socket.socket, *, process: int = 0) -> None:
        self._settings = settings
        self._process = process
        self._listener = listener
        self._clock = time.perf_counter_ns
        self._pace = Pace(settings, Delays(settings, process=process), Lateness(), self._clock)
        self._log = ServedLog(settings.log_path)
        self._wheel: TimerWheel[Call] = TimerWheel(self._clock())
        self._alarm = Alarm()
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}  # by file descriptor
        self._unread: deque[Connection] = deque()  # have received more than the request just answered
        self._queue: deque[Call] = deque()  # wait for a place
        self._num_admitted = 0
        self._num_calls = 0
        self._num_logged = 0
        self._num_tokens = 0
        self._is_stopping = False

    def serve(self) -> ServerSummary:
        """Serve until SIGTERM, SIGINT or, when settings say so, the end of standard input."""
        waker, wakes = socket.socketpair()
        wakes.settimeout(0)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: None)  # the byte at `waker` says it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        stoppers = {waker.fileno()}
        if self._settings.stops_with_stdin:
            stoppers.add(sys.stdin.fileno())
        for fileno in (self._listener.fileno(), self._alarm.fileno, *stoppers):
            self._epoll.register(fileno, select.EPOLLIN)
        # A collection stops everything for milliseconds. What a request leaves behind has no cycles.
        gc.collect()
        gc.freeze()
        gc.disable()
        began_cpu, began = time.process_time(), time.perf_counter()
        while not self._is_stopping:
            self._turn(stoppers)
        summary = self._close(time.process_time() - began_cpu, time.perf_counter() - began)
        signal.set_wakeup_fd(-1)
        waker.close()
        wakes.close()
        return summary

    # ---------------------------------------------------------------- one turn of the loop

    def _turn(self, stoppers: set[int]) -> None:
        self._alarm.set(self._wheel.next_ns())
        for fileno, events in self._epoll.poll(self._timeout_s(), _MAX_EVENTS):
            connection = self._connections.get(fileno)
            if connection is not None:
                self._on_event(connection, events)
            elif fileno == self._listener.fileno():
                self._accept()
            elif fileno in stoppers:
                self._is_stopping = True
        for _ in range(len(self._unread)):
            connection = self._unread.popleft()
            if not connection.is_closed and connection.call is None:
                self._begin(connection)
        self._run_due()
        if self._log.has_lines:
            self._log.flush_when_due(self._clock())

    def _timeout_s(self) -> float:
        if self._unread:
            return 0
        return 1 if self._log.has_lines else -1

    def _run_due(self) -> None:
        put = self._wheel.put
        for call in self._wheel.take(self._clock()):
            if call.script is None:
                continue  # its client has left
            try:
                due_ns = next(call.script, ENDED)
            except ConnectionError:
                self._leave(call)
                continue
            if due_ns > 0:
                put(call, due_ns)
            else:
                self._handle(call, due_ns)

    def _accept(self) -> None:
        for _ in range(_MAX_ACCEPTED):
            try:
                accepted, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            connection = Connection(accepted)
            self._connections[connection.fileno] = connection
            self._epoll.register(connection.fileno, select.EPOLLIN)

    def _on_event(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT and connection.call is not None:
            self._epoll.modify(connection.fileno, select.EPOLLIN)
            self._resume(connection.call)
        if events & ~select.EPOLLOUT and not connection.is_closed:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.receive()
        except BlockingIOError:
            return
        if not data:
            self._hang_up(connection)
            return
        connection.keep(data, self._clock())
        if connection.call is None:
            self._begin(connection)

    # ---------------------------------------------------------------- a request's life

    def _begin(self, connection: Connection) -> None:
        """Answer the next request of what was received, if it is complete."""
        number, send = self._num_calls, connection.send
        call = Call(number, connection.fileno, send, connection.first_byte_ns, connection.received_ns)
        try:
            head = read_head(connection.received)
        except Refused as refused:
            call.script = refusal(call, refused)
            call.then = Then.CLOSE  # nobody knows where the next request would start
        else:
            body = connection.take_body(head) if head else None
            if head is None or body is None:
                return
            call.path, call.request_id = head.path, head.request_id
            if head.must_close:
                call.then = Then.CLOSE
            try:
                call.script = route(call, self._pace, head, body)
            except Refused as refused:
                call.script = refusal(call, refused)
        self._num_calls += 1
        connection.call = call
        self._resume(call)

    def _resume(self, call: Call) -> None:
        assert call.script is not None
        try:
            wish = next(call.script, ENDED)
        except ConnectionError:
            self._leave(call)
        else:
            self._handle(call, wish)

    def _handle(self, call: Call, wish: int) -> None:
        """Do what a script wants before it goes on. NEVER needs nothing."""
        if wish > 0:
            self._wheel.put(call, wish)
        elif wish == WRITABLE:
            self._epoll.modify(call.fileno, select.EPOLLIN | select.EPOLLOUT)
        elif wish == ADMITTED:
            limit = self._settings.max_concurrent
            if limit is not None and self._num_admitted >= limit:
                self._queue.append(call)
            else:
                # A request that came before its connection's last answer was complete waited for that.
                self._admit(call, max(call.complete_ns, self._connections[call.fileno].idle_ns))
        elif wish == ENDED:
            self._end(call, Ending.COMPLETE)
            connection = self._connections[call.fileno]
            if call.then is not Then.KEEP:
                self._drop(connection, call.then)
            elif connection.received:
                self._unread.append(connection)

    def _admit(self, call: Call, start_ns: int) -> None:
        self._num_admitted += 1
        call.holds_place = True
        call.start_ns = start_ns
        self._resume(call)

    def _leave(self, call: Call) -> None:
        self._hang_up(self._connections[call.fileno])

    def _hang_up(self, connection: Connection) -> None:
        """The client has closed its end, or the connection broke."""
        if connection.call is not None:
            self._end(connection.call, Ending.CLIENT_LEFT)
        self._drop(connection, Then.CLOSE)

    def _end(self, call: Call, ending: Ending) -> None:
        """Note the end of an answer, and give its place to the next."""
        assert call.script is not None
        call.script.close()
        call.script = None
        call.ending = ending
        connection, now_ns = self._connections[call.fileno], self._clock()
        connection.call, connection.idle_ns = None, now_ns
        self._num_tokens += call.num_tokens
        if is_logged(call):
            self._num_logged += 1
            self._log.add(call.served(self._process, now_ns))
        if call.holds_place:
            self._num_admitted -= 1
            self._admit_next(now_ns)

    def _admit_next(self, now_ns: int) -> None:
        while self._queue and not self._is_stopping:
            call = self._queue.popleft()
            if call.script is not None:  # otherwise its client has left
                self._admit(call, now_ns)
                return

    def _drop(self, connection: Connection, then: Then) -> None:
        del self._connections[connection.fileno]
        connection.close(then)  # which takes it out of the epoll, too

    def _close(self, cpu_s: float, wall_s: float) -> ServerSummary:
        for connection in tuple(self._connections.values()):
            if connection.call is not None:
                self._end(connection.call, Ending.STOPPED)
            self._drop(connection, Then.CLOSE)
        self._listener.close()
        self._epoll.close()
        self._alarm.close()
        lateness = self._pace.lateness
        summary = ServerSummary(
            process=self._process,
            num_requests=self._num_logged,
            num_tokens=self._num_tokens,
            cpu_s=cpu_s,
            wall_s=wall_s,
            late_p50_ms=lateness.quantile_ms(0.5),
            late_p99_ms=lateness.quantile_ms(0.99),
            late_max_ms=lateness.quantile_ms(1.0),
        )
        self._log.add(summary)
        self._log.close()
        return summary
