// An end of a TCP connection, as TcpSocket sees it: the boundary between sockets (names, options, states, waiting) and the
// engine that moves bytes. The loopback engine connects two ends within the sandbox.
#pragma once

#include <cstdint>

#include "base/kern/io.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "sentry/net/inet/inet_socket.h"

namespace moat {

class TcpStream : public RefCounted {
 public:
  enum class State : uint8_t { kConnecting, kEstablished, kRefused };

  virtual State state() = 0;
  // abi::kTCP_* for TCP_INFO.
  virtual uint8_t tcp_state() = 0;
  virtual InetName local() = 0;
  virtual InetName remote() = 0;

  // Takes what there is room for. kEAGAIN, kEPIPE, kECONNRESET (once). `urgent`: the last byte is urgent.
  virtual ErrorOr<size_t> Send(IoSource& src, bool urgent) = 0;
  struct ReceiveHow {
    bool peek = false;
    bool discard = false;  // MSG_TRUNC: bytes are thrown away, not copied
  };
  // 0 at the end. kEAGAIN, kECONNRESET (once).
  virtual ErrorOr<size_t> Receive(IoSink& dst, ReceiveHow how) = 0;
  // MSG_OOB. kEINVAL: there is none; kEAGAIN: not yet.
  virtual ErrorOr<size_t> ReceiveUrgent(IoSink& dst, bool peek) = 0;
  virtual bool AtMark() = 0;  // SIOCATMARK

  virtual void ShutReceive() = 0;
  virtual void ShutSend() = 0;
  // The socket is gone. `reset`: SO_LINGER of 0.
  virtual void Close(bool reset) = 0;

  virtual EventMask Readiness(size_t low_water) = 0;
  virtual int TakeError() = 0;
  virtual size_t bytes_to_read() = 0;
  virtual size_t bytes_to_send() = 0;
  virtual void SetReceiveBuffer(size_t bytes) = 0;
  virtual void SetSendBuffer(size_t bytes) = 0;
  virtual void SetUrgentInline(bool on) = 0;
};

}  // namespace moat
