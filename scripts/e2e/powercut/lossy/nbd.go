package lossy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The part of the NBD protocol that a virtual machine needs: newstyle
// negotiation with NBD_OPT_GO or NBD_OPT_EXPORT_NAME, and simple replies
// (https://github.com/NetworkBlockDevice/nbd, doc/proto.md).
const (
	nbdMagic     = 0x4e42444d41474943
	optionMagic  = 0x49484156454f5054
	replyMagic   = 0x3e889045565a9
	requestMagic = 0x25609513
	simpleMagic  = 0x67446698

	handshakeFixed    = 1 << 0
	handshakeNoZeroes = 1 << 1

	optExportName = 1
	optAbort      = 2
	optInfo       = 6
	optGo         = 7

	repAck       = 1
	repInfo      = 3
	repUnknown   = 1<<31 | 1
	infoExport   = 0
	infoSizes    = 3
	transmission = 1<<0 | 1<<2 | 1<<3 // flags: has flags, flush, force unit access

	cmdRead   = 0
	cmdWrite  = 1
	cmdQuit   = 2
	cmdFlush  = 3
	forceUnit = 1 << 0

	errIO      = 5
	errInvalid = 22

	// maxRequest bounds one read or write, in bytes.
	maxRequest = 32 << 20
)

// ErrProtocol is a peer that does not speak NBD as this package knows it.
var ErrProtocol = errors.New("lossy: not the NBD protocol")

// Serve speaks NBD with one client until it goes away, or an error occurs. That
// the client is gone, at whatever point, is no error: it is the power cut.
func (d *Disk) Serve(conn io.ReadWriter) error {
	c := &session{disk: d, conn: conn}
	ready, err := c.negotiate()
	for err == nil && ready {
		ready, err = c.request()
	}
	if c.gone {
		return nil
	}
	return err
}

type session struct {
	disk *Disk
	conn io.ReadWriter
	gone bool // the peer: reading from it, or writing to it, has failed
	// zeroes tells that the answer to NBD_OPT_EXPORT_NAME is padded.
	zeroes bool
}

// read reads big-endian values.
func (c *session) read(values ...any) error {
	for _, v := range values {
		if err := binary.Read(c.conn, binary.BigEndian, v); err != nil {
			c.gone = true
			return err
		}
	}
	return nil
}

// write writes values as one message.
func (c *session) write(values ...any) error {
	var message []byte
	for _, v := range values {
		var err error
		if message, err = binary.Append(message, binary.BigEndian, v); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write(message); err != nil {
		c.gone = true
		return err
	}
	return nil
}

// negotiate reports whether requests follow.
func (c *session) negotiate() (bool, error) {
	if err := c.write(uint64(nbdMagic), uint64(optionMagic), uint16(handshakeFixed|handshakeNoZeroes)); err != nil {
		return false, err
	}
	var flags uint32
	if err := c.read(&flags); err != nil {
		return false, err
	}
	c.zeroes = flags&handshakeNoZeroes == 0
	for {
		var magic uint64
		var option, length uint32
		if err := c.read(&magic, &option, &length); err != nil {
			return false, err
		}
		if magic != optionMagic || length > 4096 {
			return false, fmt.Errorf("%w: option %d of %d bytes, magic %x", ErrProtocol, option, length, magic)
		}
		data := make([]byte, length)
		if err := c.read(data); err != nil {
			return false, err
		}
		if done, ready, err := c.option(option); done || err != nil {
			return ready, err
		}
	}
}

// option answers one option; done ends the negotiation.
func (c *session) option(option uint32) (done, ready bool, err error) {
	switch option {
	case optExportName:
		padding := make([]byte, 0, 124)
		if c.zeroes {
			padding = padding[:124]
		}
		return true, true, c.write(uint64(c.disk.size), uint16(transmission), padding)
	case optGo, optInfo:
		if err = c.reply(option, repInfo, uint16(infoExport), uint64(c.disk.size), uint16(transmission)); err == nil {
			err = c.reply(option, repInfo, uint16(infoSizes), uint32(BlockSize), uint32(BlockSize), uint32(maxRequest))
		}
		if err == nil {
			err = c.reply(option, repAck)
		}
		return option == optGo, option == optGo, err
	case optAbort:
		return true, false, c.reply(option, repAck)
	default:
		return false, false, c.reply(option, repUnknown)
	}
}

func (c *session) reply(option, kind uint32, values ...any) error {
	var length uint32
	for _, v := range values {
		length += uint32(binary.Size(v))
	}
	return c.write(append([]any{uint64(replyMagic), option, kind, length}, values...)...)
}

// request serves one request; false is the client's goodbye.
func (c *session) request() (bool, error) {
	var magic, length uint32
	var flags, command uint16
	var cookie, offset uint64
	if err := c.read(&magic, &flags, &command, &cookie, &offset, &length); err != nil {
		return false, err
	}
	if magic != requestMagic || length > maxRequest {
		return false, fmt.Errorf("%w: request %d of %d bytes, magic %x", ErrProtocol, command, length, magic)
	}
	var data []byte
	var err error
	switch command {
	case cmdRead:
		data = make([]byte, length)
		_, err = c.disk.ReadAt(data, int64(offset))
	case cmdWrite:
		content := make([]byte, length)
		if err := c.read(content); err != nil {
			return false, err
		}
		err = c.disk.Write(content, int64(offset), flags&forceUnit != 0)
	case cmdFlush:
		err = c.disk.Flush()
	case cmdQuit:
		return false, nil
	default:
		err = ErrRange
	}
	status := uint32(0)
	if err != nil {
		status, data = errIO, nil
		if errors.Is(err, ErrRange) {
			status = errInvalid
		}
	}
	return true, c.write(uint32(simpleMagic), status, cookie, data)
}
